package airport;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.WebApplicationType;
import org.springframework.cloud.stream.binder.test.InputDestination;
import org.springframework.cloud.stream.binder.test.OutputDestination;
import org.springframework.cloud.stream.binder.test.TestChannelBinderConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What the functions do with messages: the framework's test binder stands for the broker. */
class StreamTests {

	private final JsonMapper json = new JsonMapper();

	@Test
	void aFlightGetsItsDelayAndItsCategoryAndKeepsItsAircraftAsKey() {
		try (ConfigurableApplicationContext context = run("delay|category")) {
			send(context, "flights.departed", Flights.LATE);

			Message<byte[]> sent = receive(context, "flights.delayed");

			JsonNode flight = json.readTree(sent.getPayload());
			assertThat(flight.get("delay").asInt()).isEqualTo(32);
			assertThat(flight.get("category").asString()).isEqualTo("late");
			assertThat(text(sent.getHeaders().get(KafkaHeaders.KEY))).isEqualTo("N14228");
		}
	}

	@Test
	void whatPythonWroteComesOutAsItWasButForWhatWasAdded() {
		try (ConfigurableApplicationContext context = run("delay|category")) {
			send(context, "flights.departed", Flights.LATE);

			JsonNode sent = json.readTree(receive(context, "flights.delayed").getPayload());

			json.readTree(Flights.LATE).properties().forEach(
					field -> assertThat(sent.get(field.getKey())).isEqualTo(field.getValue()));
			assertThat(sent.size()).isEqualTo(json.readTree(Flights.LATE).size() + 2);
		}
	}

	@Test
	void anUnknownAircraftHasNoKey() {
		try (ConfigurableApplicationContext context = run("delay|category")) {
			send(context, "flights.departed", Flights.UNKNOWN_AIRCRAFT);

			assertThat(receive(context, "flights.delayed").getHeaders()).doesNotContainKey(KafkaHeaders.KEY);
		}
	}

	@Test
	void aDepartureIsPublishedWithItsAircraftAsKey() {
		try (ConfigurableApplicationContext context = run("departures")) {
			Message<byte[]> sent = receive(context, "flights.departed");

			JsonNode flight = json.readTree(sent.getPayload());
			assertThat(flight.get("event").asString()).isEqualTo("departed");
			assertThat(text(sent.getHeaders().get(KafkaHeaders.KEY)))
				.isEqualTo(flight.get("tail_number").asString());
		}
	}

	@Test
	void statisticsAreKeptByCarrierAndACancelledFlightHasNoDelay() {
		try (ConfigurableApplicationContext context = run("statistics")) {
			send(context, "flights.delayed", Flights.LATE);
			send(context, "flights.delayed", Flights.LATE);
			send(context, "flights.delayed", Flights.CANCELLED);

			DelayStatistics.Report report = context.getBean(DelayStatistics.class).report();

			assertThat(report.flights()).isEqualTo(3);
			assertThat(report.carriers().get("UA")).isEqualTo(new DelayStatistics.Line(2, 0, 32.0));
			assertThat(report.carriers().get("B6")).isEqualTo(new DelayStatistics.Line(1, 1, null));
		}
	}

	@Test
	void aGateIsAnsweredOnTheTopicThatTheRequestNames() {
		try (ConfigurableApplicationContext context = run("gates")) {
			context.getBean(InputDestination.class).send(
					MessageBuilder.withPayload("{\"flight\": \"UA1545\"}".getBytes(UTF_8))
						.setHeader("reply-topic", "gate.crew".getBytes(UTF_8))
						.setHeader("correlation-id", "42".getBytes(UTF_8))
						.build(),
					"gate.requests");

			Message<byte[]> reply = receive(context, "gate.crew");

			assertThat(json.readTree(reply.getPayload()).get("gate").asString()).isEqualTo("B16");
			assertThat(reply.getHeaders().get("correlation-id")).isEqualTo("42");
		}
	}

	private static ConfigurableApplicationContext run(String definition) {
		return new SpringApplicationBuilder(
				TestChannelBinderConfiguration.getCompleteConfiguration(AirportApplication.class))
			.web(WebApplicationType.NONE)
			.run("--spring.cloud.function.definition=" + definition, "--logging.level.root=WARN",
					"--spring.main.banner-mode=off");
	}

	private static void send(ConfigurableApplicationContext context, String topic, String body) {
		context.getBean(InputDestination.class)
			.send(MessageBuilder.withPayload(body.getBytes(UTF_8)).build(), topic);
	}

	private static Message<byte[]> receive(ConfigurableApplicationContext context, String topic) {
		Message<byte[]> message = context.getBean(OutputDestination.class).receive(5000, topic);
		assertThat(message).as("a message on " + topic).isNotNull();
		return message;
	}

	private static String text(Object bytes) {
		return new String((byte[]) bytes, UTF_8);
	}

}
