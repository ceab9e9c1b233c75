#!/bin/bash
# Asks the broker at a port of this pod which requests it knows, and wants its answer: exit code 0.
# An open port is not enough: the system opens connections to a process that hangs. Kafka's own
# scripts start a JVM for each question, every few seconds, on every broker.
#
#   bash ask.sh 9092
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
# length 10 | ApiVersions (18) | version 0 | number of the question: "ping" | no client name
printf '\x00\x00\x00\x0a\x00\x12\x00\x00ping\xff\xff' >&3
# length (4 bytes) | number of the question that is answered
answered=$(timeout 5 head -c 8 <&3 | tail -c 4)
[[ $answered == ping ]]
