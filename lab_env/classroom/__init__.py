"""A class, live: students who have joined send records, and whoever teaches sees them together.

Kafka alone carries it. Each student writes into a topic of her own, under her own prefix, so the
rights that she has anyway keep the others out; whoever teaches reads all of these topics.
"""
