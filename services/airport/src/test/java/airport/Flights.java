package airport;

/** Flights for tests, in the shape in which the Python services write them. */
final class Flights {

	static final String LATE = """
			{"id": "UA1545-EWR-2013-01-01", "event": "departed", "flight": "UA1545",
			 "date": "2013-01-01", "carrier": "UA", "number": 1545, "tail_number": "N14228",
			 "origin": "EWR", "destination": "IAH", "scheduled": "2013-01-01T05:15",
			 "departed": "2013-01-01T05:47", "delay_minutes": 32}""";

	static final String CANCELLED = """
			{"id": "B6125-JFK-2013-01-01", "event": "departed", "flight": "B6125",
			 "date": "2013-01-01", "carrier": "B6", "number": 125, "tail_number": "N618JB",
			 "origin": "JFK", "destination": "FLL", "scheduled": "2013-01-01T06:00",
			 "departed": null, "delay_minutes": null}""";

	static final String UNKNOWN_AIRCRAFT = LATE.replace("\"N14228\"", "null");

	private Flights() {
	}

}
