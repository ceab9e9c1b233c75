package airport;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.function.Consumer;

import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.Message;
import org.springframework.messaging.MessageHeaders;
import org.springframework.messaging.support.MessageBuilder;

/** The gate desk: answers each request on the topic that the request itself names. */
@Configuration(proxyBeanMethods = false)
class GatesConfiguration {

	static final String REPLY_TOPIC = "reply-topic";

	static final String CORRELATION_ID = "correlation-id";

	record Request(String flight) {
	}

	record Reply(String flight, String gate) {
	}

	@Bean
	Consumer<Message<Request>> gates(StreamBridge bridge) {
		return request -> {
			String topic = text(request.getHeaders(), REPLY_TOPIC);
			if (topic == null) {
				throw new IllegalArgumentException("The request names no " + REPLY_TOPIC + " in its headers");
			}
			String flight = request.getPayload().flight();
			MessageBuilder<Reply> reply = MessageBuilder.withPayload(new Reply(flight, gateOf(flight)));
			String correlationId = text(request.getHeaders(), CORRELATION_ID);
			if (correlationId != null) {
				reply.setHeader(CORRELATION_ID, correlationId);
			}
			bridge.send(topic, reply.build());
		};
	}

	/** The gate of a flight such as UA1545: B16. */
	static String gateOf(String flight) {
		return "B" + (Integer.parseInt(flight.substring(2)) % 30 + 1);
	}

	/** A header that another language wrote arrives as bytes, one that Spring wrote as text. */
	private static String text(MessageHeaders headers, String name) {
		Object value = headers.get(name);
		return value instanceof byte[] bytes ? new String(bytes, UTF_8) : value == null ? null : value.toString();
	}

}
