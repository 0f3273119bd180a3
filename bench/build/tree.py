"""A large context, the same on every machine: names, sizes and contents follow from the numbers given.

Sizes are those of a checked-out project with its dependencies: many small files, a few large ones. Contents are words, a few of
them most of the time, and the files of a directory have much text in common, those of two directories none: so they compress about
as well as a real `node_modules` does, with gzip and with zstd, and no better for who looks back further than a directory. A salt
changes the beginning of every file: a tree that no cache has seen.
"""

import os
import random
import shutil
import sys

POOL = 8 << 20
PER_DIRECTORY = 30
# What a directory's files are put together from: text of so many bytes, in pieces of at most so many.
COMMON = 768 << 10
PIECE = 4 << 10
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def pool() -> bytes:
    rng = random.Random(7)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 11))) for _ in range(4000)]
    marks = [" "] * 12 + ["\n", " = ", "();\n", ", ", '"', "{\n    ", "}\n"]
    parts, size = [], 0
    while size < POOL:
        piece = words[int(len(words) * rng.random() ** 8)] + rng.choice(marks)
        parts.append(piece)
        size += len(piece)
    return "".join(parts).encode()


def sizes(files: int, total: int) -> list[int]:
    rng = random.Random(11)
    raw = [rng.lognormvariate(0.0, 1.6) for _ in range(files)]
    scale = total / sum(raw)
    return [max(80, int(size * scale)) for size in raw]


def path(number: int) -> str:
    directory = number // PER_DIRECTORY
    return f"pkg{directory % 40:02}/mod{directory:04}/file{number:05}.txt"


def text_of(directory: int, source: bytes) -> bytes:
    """What its files have in common, in letters of its own."""
    rng = random.Random(directory)
    start = rng.randrange(POOL - COMMON)
    letters = "".join(rng.sample(LETTERS, len(LETTERS)))
    return source[start : start + COMMON].translate(bytes.maketrans(LETTERS.encode(), letters.encode()))


def make(root: str, files: int, total: int, salt: str) -> None:
    source, text = pool(), b""
    rng = random.Random(13)
    for number, size in enumerate(sizes(files, total)):
        target = os.path.join(root, path(number))
        if number % PER_DIRECTORY == 0:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            text = text_of(number // PER_DIRECTORY, source)
        with open(target, "wb") as file:
            head = f"// {salt} {number}\n".encode()
            file.write(head)
            left = size - len(head)
            while left > 0:
                start, length = rng.randrange(COMMON - PIECE), rng.randint(PIECE // 4, PIECE)
                piece = text[start : start + min(left, length)]
                file.write(piece)
                left -= len(piece)


def copy(source: str, root: str, salt: str) -> None:
    """A real tree in place of a made one, and new in the same way."""
    shutil.copytree(source, root, symlinks=True, dirs_exist_ok=True)
    for number, path in enumerate(files_of(source)):
        with open(path, "rb") as file:
            content = file.read()
        with open(os.path.join(root, os.path.relpath(path, source)), "wb") as file:
            file.write(f"// {salt} {number}\n".encode() + content)


def files_of(root: str) -> list[str]:
    """The tree's files in one order."""
    found = []
    for directory, _, names in os.walk(root):
        found += [os.path.join(directory, name) for name in names]
    return sorted(file for file in found if not os.path.islink(file))


def edit(root: str, turn: int, salt: str) -> None:
    """A file in the middle, another one each turn."""
    targets = files_of(root)
    with open(targets[len(targets) // 2 + turn], "ab") as file:
        file.write(f"// edited {salt}\n".encode())


if __name__ == "__main__":
    [destination, number, megabytes, of, mark] = sys.argv[1:]
    if of:
        copy(of, destination, mark)
    else:
        make(destination, int(number), int(megabytes), mark)
