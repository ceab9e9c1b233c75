package airport;

import java.time.LocalDate;
import java.time.LocalDateTime;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonInclude.Include;
import tools.jackson.databind.PropertyNamingStrategies.SnakeCaseStrategy;
import tools.jackson.databind.annotation.JsonNaming;

/**
 * A flight that departed or was cancelled: the body of a record, as JSON, in the same shape as
 * the Python services write it.
 *
 * @param tailNumber the aircraft, null if unknown
 * @param departed null if the flight was cancelled
 * @param delayMinutes as it was announced, negative if early, null if cancelled
 * @param delay minutes, filled in by {@code delay}
 * @param category filled in by {@code category}
 */
@JsonNaming(SnakeCaseStrategy.class)
public record Flight(
		String id,
		String event,
		String flight,
		LocalDate date,
		String carrier,
		Integer number,
		String tailNumber,
		String origin,
		String destination,
		@JsonFormat(pattern = MINUTES) LocalDateTime scheduled,
		@JsonFormat(pattern = MINUTES) LocalDateTime departed,
		Integer delayMinutes,
		@JsonInclude(Include.NON_NULL) Long delay,
		@JsonInclude(Include.NON_NULL) String category) {

	private static final String MINUTES = "yyyy-MM-dd'T'HH:mm";

	Flight withDelay(long minutes) {
		return new Flight(id, event, flight, date, carrier, number, tailNumber, origin, destination,
				scheduled, departed, delayMinutes, minutes, category);
	}

	Flight withCategory(String name) {
		return new Flight(id, event, flight, date, carrier, number, tailNumber, origin, destination,
				scheduled, departed, delayMinutes, delay, name);
	}

}
