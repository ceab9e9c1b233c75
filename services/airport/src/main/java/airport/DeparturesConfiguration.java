package airport;

import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.io.Resource;
import org.springframework.messaging.Message;
import tools.jackson.databind.json.JsonMapper;

/** Publishes departures: a Supplier, which the framework asks once per poller interval. */
@Configuration(proxyBeanMethods = false)
class DeparturesConfiguration {

	/** The flights of a small real sample, in the order of their departure, and again from the start. */
	@Bean
	Supplier<Message<Flight>> departures(JsonMapper json,
			@Value("classpath:departures.jsonl") Resource sample) throws IOException {
		List<Flight> flights = read(json, sample);
		AtomicInteger next = new AtomicInteger();
		return () -> Keyed.byAircraft(flights.get(next.getAndIncrement() % flights.size()));
	}

	private static List<Flight> read(JsonMapper json, Resource sample) throws IOException {
		try (InputStream lines = sample.getInputStream();
				var values = json.readerFor(Flight.class).<Flight>readValues(lines)) {
			return values.readAll();
		}
	}

}
