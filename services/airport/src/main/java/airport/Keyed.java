package airport;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Map;

import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;

/** Gives a flight its aircraft as the record's key: Kafka then keeps the aircraft's order. */
final class Keyed {

	private Keyed() {
	}

	static Message<Flight> byAircraft(Flight flight) {
		return byAircraft(flight, Map.of());
	}

	/** The same with the headers of the message that it was made from. */
	static Message<Flight> byAircraft(Flight flight, Map<String, Object> headers) {
		MessageBuilder<Flight> message = MessageBuilder.withPayload(flight).copyHeaders(headers);
		if (flight.tailNumber() != null) {
			// bytes, because the binder's serializer of keys takes them as they are
			message.setHeader(KafkaHeaders.KEY, flight.tailNumber().getBytes(UTF_8));
		}
		return message.build();
	}

}
