package airport;

import java.util.List;
import java.util.TreeMap;
import java.util.stream.Stream;

import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.cloud.stream.binder.Binding;
import org.springframework.cloud.stream.binder.DefaultBinding;
import org.springframework.cloud.stream.binding.BindingsLifecycleController;
import org.springframework.cloud.stream.config.BindingProperties;
import org.springframework.cloud.stream.config.BindingServiceProperties;
import org.springframework.stereotype.Component;

/**
 * What is bound, at {@code /actuator/bound}: the short form of {@code /actuator/bindings}, which in
 * Stream 5.0.4 must not be read before a binding is stopped and started (its issue 3268).
 */
@Component
@Endpoint(id = "bound")
class BoundEndpoint {

	private final BindingServiceProperties properties;

	private final BindingsLifecycleController controller;

	BoundEndpoint(BindingServiceProperties properties, BindingsLifecycleController controller) {
		this.properties = properties;
		this.controller = controller;
	}

	record Bound(String binding, String destination, String group, String state, boolean input) {

		static Bound of(DefaultBinding<?> made) {
			return new Bound(made.getBindingName(), made.getName(), made.getGroup(), made.getState(),
					made.isInput());
		}

	}

	@ReadOperation
	List<Bound> bound() {
		return new TreeMap<>(properties.getBindings()).entrySet()
			.stream()
			.flatMap(one -> bound(one.getKey(), one.getValue()))
			.toList();
	}

	private Stream<Bound> bound(String name, BindingProperties wanted) {
		List<Binding<?>> found = controller.queryState(name);
		if (!found.isEmpty()) {
			return found.stream()
				.filter(DefaultBinding.class::isInstance)
				.map(binding -> Bound.of((DefaultBinding<?>) binding));
		}
		// one that could not be made at the start is called by its destination, and tried again
		return controller.queryState(wanted.getDestination())
			.stream()
			.filter(binding -> binding.isInput() == name.contains("-in-"))
			.map(binding -> new Bound(name, wanted.getDestination(), wanted.getGroup(), "failed",
					binding.isInput()));
	}

}
