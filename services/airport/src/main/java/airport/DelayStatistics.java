package airport;

import java.util.Map;
import java.util.TreeMap;

import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.stereotype.Component;

/**
 * Delays by carrier, readable at {@code /actuator/statistics}. They are kept in memory: each
 * instance knows what it has handled itself.
 */
@Component
@Endpoint(id = "statistics")
class DelayStatistics {

	/** Sums by carrier; a cancelled flight has no delay. */
	record Carrier(long flights, long cancelled, long minutes) {

		Carrier plus(Carrier other) {
			return new Carrier(flights + other.flights, cancelled + other.cancelled, minutes + other.minutes);
		}

		static Carrier of(Flight flight) {
			if (flight.delay() != null) {
				return new Carrier(1, 0, flight.delay());
			}
			if (flight.delayMinutes() != null) {
				return new Carrier(1, 0, flight.delayMinutes());
			}
			return new Carrier(1, 1, 0);
		}

	}

	/** What one carrier's flights come to; {@code mean} is of the delay, in minutes, null if none has flown. */
	record Line(long flights, long cancelled, Double mean) {

		static Line of(Carrier carrier) {
			long flown = carrier.flights() - carrier.cancelled();
			return new Line(carrier.flights(), carrier.cancelled(),
					flown == 0 ? null : (double) carrier.minutes() / flown);
		}

	}

	record Report(long flights, Map<String, Line> carriers) {
	}

	private final Map<String, Carrier> carriers = new TreeMap<>();

	synchronized void count(Flight flight) {
		if (flight == null) { // a record without a value
			return;
		}
		carriers.merge(flight.carrier(), Carrier.of(flight), Carrier::plus);
	}

	@ReadOperation
	synchronized Report report() {
		Map<String, Line> lines = new TreeMap<>();
		carriers.forEach((name, carrier) -> lines.put(name, Line.of(carrier)));
		return new Report(carriers.values().stream().mapToLong(Carrier::flights).sum(), lines);
	}

}
