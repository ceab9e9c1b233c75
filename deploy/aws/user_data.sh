#!/bin/bash
# What the EC2 instance does at its first start, as root: Docker, Compose, and the airport's Kafka.
# For Amazon Linux 2023. Its log: /var/log/cloud-init-output.log. See README.md.
set -euo pipefail

home=/opt/kafka-lab                # the Compose files, and the script that starts them
compose_version=v5.6.0             # a version, never "latest"
units=/etc/systemd/system
metadata=${METADATA:-http://169.254.169.254}  # an address that exists in every instance

# `lab_env.aws.files.user_data()` puts docker-compose.yml and aws.yml here: tar, gzip, base64
files=""

# 1. Update the packages
update() {
  # without the release it stays with the packages of the day when the image was made
  dnf update -y --releasever=latest
}

# 2. Install Docker
install() {
  dnf install -y docker
}

# 3. Start the service, now and after each reboot
start_docker() {
  systemctl enable --now docker
}

# 4. Add the user to the group docker: no sudo any more, from the next login on
add_user() {
  usermod -aG docker ec2-user
}

# 5. Look: does the engine answer?
look() {
  docker info
}

# 6. Install Compose: Amazon Linux 2023 has no package of it
install_compose() {
  local plugins=/usr/local/lib/docker/cli-plugins name
  name=docker-compose-linux-$(uname -m)
  mkdir -p "$plugins"
  (
    cd "$(mktemp -d)"
    curl -fsSL --retry 5 --remote-name-all \
      "https://github.com/docker/compose/releases/download/$compose_version/$name" \
      "https://github.com/docker/compose/releases/download/$compose_version/$name.sha256"
    sha256sum --check "$name.sha256"
    install -m 0755 "$name" "$plugins/docker-compose"
  )
}

# 7. Write the files, and a service that starts them at each boot: user data runs only once
write_files() {
  mkdir -p "$home"
  base64 -d <<<"$files" | tar -xz -C "$home"
  {
    echo '#!/bin/bash'
    echo 'set -euo pipefail'
    echo "home=$home metadata=$metadata"
    declare -f ask up
    echo up
  } >"$home/up.sh"
  {
    echo '#!/bin/bash'
    echo 'set -euo pipefail'
    declare -f add_user_of_kafka
    echo 'add_user_of_kafka "$@"'
  } >"$home/user.sh"
  chmod 0755 "$home/up.sh" "$home/user.sh"
}

write_service() {
  cat >"$units/kafka-lab.service" <<UNIT
[Unit]
Description=Kafka of the airport
Requires=docker.service
After=docker.service network-online.target
Wants=network-online.target

[Service]
# it is this unit alone that starts and stops Kafka: the container has no restart of its own
Type=exec
ExecStartPre=$home/up.sh
ExecStart=/bin/bash -c 'exit "\$\$(docker wait kafka-lab-kafka-1)"'
# by the labels of the containers: the files want addresses, which only up.sh knows
ExecStop=/usr/bin/docker compose --project-name kafka-lab stop
# 143: Kafka has ended on SIGTERM
SuccessExitStatus=143
Restart=on-failure
RestartSec=5
# the image is fetched meanwhile; Kafka gets two minutes to end
TimeoutStartSec=15min
TimeoutStopSec=150

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
}

# 8. Start Kafka. It tells each kind of client an address that is right from where that one stands
ask() {
  # IMDSv2: a token first, so that nobody is tricked into asking on somebody else's behalf
  local token
  token=$(curl -fsS --retry 5 --max-time 10 -X PUT "$metadata/latest/api/token" \
    -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
  curl -fsS --retry 5 --max-time 10 -H "X-aws-ec2-metadata-token: $token" \
    "$metadata/latest/meta-data/$1"
}

up() {
  # asked at each boot: after stop and start the public name is another one
  PRIVATE_ADDRESS=$(ask local-ipv4)
  PUBLIC_NAME=$(ask public-hostname || true)
  # without a public address there are no clients outside
  export PRIVATE_ADDRESS PUBLIC_NAME=${PUBLIC_NAME:-$PRIVATE_ADDRESS}
  cd "$home"
  docker compose --project-name kafka-lab -f docker-compose.yml -f aws.yml up --detach --wait
}

start_kafka() {
  systemctl enable --now kafka-lab
}

# By hand, as root, once it runs: make a user who may log in at 9092. The password comes from the
# standard input, so that no list of processes shows it:  user.sh board <password.txt
add_user_of_kafka() {
  local password
  IFS= read -rs -p "password of $1: " password || [[ $password ]]
  # in a file of properties a backslash is written twice
  printf 'SCRAM-SHA-512=password=%s\n' "${password//\\/\\\\}" |
    docker exec --interactive kafka-lab-kafka-1 /opt/kafka/bin/kafka-configs.sh \
      --bootstrap-server localhost:19092 --alter --entity-type users --entity-name "$1" \
      --add-config-file /dev/stdin
}

main() {
  update
  install
  start_docker
  add_user
  look
  install_compose
  write_files
  write_service
  start_kafka
}

# sourced, it only defines its steps, so that each can be tried by itself
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  main
fi
