package airport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.function.Function;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.json.JsonMapper;

/** The logic alone, without a framework: a function is a function. */
class DelaysTests {

	private final JsonMapper json = new JsonMapper();

	private final Function<Flight, Flight> delay = new DelaysConfiguration().delay(Duration.ZERO);

	@Test
	void theDelayIsTheTimeBetweenScheduledAndDeparted() {
		Flight flight = json.readValue(Flights.LATE, Flight.class);

		assertThat(delay.apply(flight).delay()).isEqualTo(32);
	}

	@Test
	void aCancelledFlightHasNoDelayAndSaysSo() {
		Flight flight = json.readValue(Flights.CANCELLED, Flight.class);

		assertThatThrownBy(() -> delay.apply(flight)).hasMessageContaining("B6125 has no departure time");
	}

	@ParameterizedTest
	@CsvSource({ "-1, early", "0, on time", "15, on time", "16, late" })
	void categories(long minutes, String category) {
		assertThat(DelaysConfiguration.categoryOf(minutes)).isEqualTo(category);
	}

}
