package airport;

import java.time.Duration;
import java.util.function.Function;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.Message;

/** Tells how late a flight is: two small Functions, made to be composed as {@code delay|category}. */
@Configuration(proxyBeanMethods = false)
class DelaysConfiguration {

	/** A flight is punctual up to this many minutes. */
	private static final long ON_TIME = 15;

	/**
	 * Adds the delay. A flight that never left has none: the exception makes the framework try
	 * again, and then hand the record to the dead letter topic, if the binding has one.
	 */
	@Bean
	Function<Flight, Flight> delay(@Value("${airport.work:0ms}") Duration work) {
		return flight -> {
			if (flight == null) { // a record without a value deletes its key: there is nothing to tell
				return null;
			}
			pause(work);
			if (flight.departed() == null) {
				throw new IllegalArgumentException(
						"Flight %s has no departure time: it was cancelled".formatted(flight.flight()));
			}
			return flight.withDelay(Duration.between(flight.scheduled(), flight.departed()).toMinutes());
		};
	}

	/** Adds the category; what leaves keeps the aircraft as its key, which a Function would drop. */
	@Bean
	Function<Message<Flight>, Message<Flight>> category() {
		return message -> {
			if (message == null) {
				return null;
			}
			Flight flight = message.getPayload();
			return Keyed.byAircraft(flight.withCategory(categoryOf(flight.delay())), message.getHeaders());
		};
	}

	static String categoryOf(long delay) {
		if (delay < 0) {
			return "early";
		}
		return delay <= ON_TIME ? "on time" : "late";
	}

	/** Stands for work that takes time, so that it can be interrupted in the middle of a record. */
	private static void pause(Duration work) {
		try {
			Thread.sleep(work.toMillis());
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			throw new IllegalStateException("Stopped in the middle of a flight", ex);
		}
	}

}
