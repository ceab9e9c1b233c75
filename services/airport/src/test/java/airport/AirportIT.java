package airport;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * The whole way over a real Kafka: {@code mvn verify -Dkafka.brokers=127.0.0.1:9092}, or the
 * variable {@code KAFKA_BROKERS}. Without an address it is skipped.
 */
class AirportIT {

	private static final Duration PATIENCE = Duration.ofSeconds(30);

	private final String brokers = System.getProperty("kafka.brokers", System.getenv("KAFKA_BROKERS"));

	private final String run = "it." + UUID.randomUUID().toString().substring(0, 8) + ".";

	@Test
	void aFlightGoesThroughAndACancelledOneIsPutAsideWithItsKey() throws Exception {
		assumeTrue(brokers != null && !brokers.isBlank(), "no -Dkafka.brokers=HOST:PORT and no KAFKA_BROKERS");
		List<String> topics = List.of(run + "departed", run + "delayed", run + "failed");
		try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
			admin.createTopics(topics.stream().map(name -> new NewTopic(name, 2, (short) 1)).toList()).all().get();
			try (ConfigurableApplicationContext context = start();
					KafkaProducer<String, String> producer = new KafkaProducer<>(
							Map.of("bootstrap.servers", brokers), new StringSerializer(), new StringSerializer())) {
				producer.send(new ProducerRecord<>(topics.get(0), "N618JB", Flights.CANCELLED)).get();
				producer.send(new ProducerRecord<>(topics.get(0), "N14228", Flights.LATE)).get();

				ConsumerRecord<String, String> delayed = first(topics.get(1));
				ConsumerRecord<String, String> failed = first(topics.get(2));

				assertThat(delayed.key()).isEqualTo("N14228");
				assertThat(delayed.value()).contains("\"delay\":32", "\"category\":\"late\"");
				assertThat(failed.key()).isEqualTo("N618JB");
				assertThat(new String(failed.headers().lastHeader("x-exception-message").value(), UTF_8))
					.contains("B6125 has no departure time");
			}
			finally {
				admin.deleteTopics(topics).all().get();
			}
		}
	}

	private ConfigurableApplicationContext start() {
		return new SpringApplicationBuilder(AirportApplication.class).run(
				"--server.port=0", "--logging.level.root=WARN", "--spring.main.banner-mode=off",
				"--logging.exception-conversion-word=%rEx{short}",
				"--spring.cloud.function.definition=delay|category",
				"--spring.cloud.stream.kafka.binder.brokers=" + brokers,
				"--spring.cloud.stream.kafka.binder.min-partition-count=1",
				"--spring.cloud.stream.bindings.delaycategory-in-0.destination=" + run + "departed",
				"--spring.cloud.stream.bindings.delaycategory-in-0.group=" + run + "delays",
				"--spring.cloud.stream.bindings.delaycategory-out-0.destination=" + run + "delayed",
				"--spring.cloud.stream.kafka.bindings.delaycategory-in-0.consumer.dlq-name=" + run + "failed");
	}

	private ConsumerRecord<String, String> first(String topic) {
		Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "group.id", run + "test",
				"auto.offset.reset", "earliest");
		try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(),
				new StringDeserializer())) {
			consumer.subscribe(List.of(topic));
			long deadline = System.nanoTime() + PATIENCE.toNanos();
			while (System.nanoTime() < deadline) {
				for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
					return record;
				}
			}
		}
		throw new AssertionError("nothing on " + topic + " within " + PATIENCE.toSeconds() + " s");
	}

}
