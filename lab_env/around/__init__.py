"""What lessons run and look at beside Kafka: containers, another broker, ports."""
