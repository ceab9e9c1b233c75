package airport;

import java.util.function.Consumer;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Keeps delay statistics: a Consumer, the end of the flight's way. */
@Configuration(proxyBeanMethods = false)
class StatisticsConfiguration {

	@Bean
	Consumer<Flight> statistics(DelayStatistics statistics) {
		return statistics::count;
	}

}
