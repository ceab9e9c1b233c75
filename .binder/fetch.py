"""What a lab would fetch and make at its first start: Kafka, Spring, a cache for each Java."""

import sys

from lab_env.clusters import training
from lab_env.processes import jars
from lab_env.spring import app
from lab_env.spring import training as spring

jars.ensure()
app.ensure()
if not (training.train() and spring.train()):
    sys.exit("A cache was not made, so Java starts slowly. `lab doctor` looks at this machine.")
