#!/usr/bin/env python3
"""Whether each scheduling rule has a scenario that fails without it.

without.py [--all | --rule TEXT] [--find]

Takes the rules of without.rules out of the sources, one at a time: the file that holds the rule is
compiled without it, the scenario program linked anew with that, and the scenarios named must fail.
The checkout is never touched; all of it happens in a scratch folder. By default a part of the rules
is tried, spread evenly over the table; another part whenever a source file has changed. --rule
takes those with TEXT in their name. --find runs every scenario and prints which ones fail: for
whoever writes a row.

MILLRACE_BUILD is the build to take objects and commands from (default build/release), MILLRACE_SOURCE
the checkout.
"""
import argparse
import functools
import hashlib
import json
import os
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = pathlib.Path(os.environ.get("MILLRACE_SOURCE", HERE.parent.parent)).resolve()
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", SOURCE / "build/release")).resolve()
TABLE = HERE / "without.rules"
PARTS = 6             # by default one rule in so many is tried
SECONDS_MAX = 5       # of one scenario: without its rule the core may go on for ever
MEMORY_MAX = 2 << 30
QUICK_LINKER = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []


class Mistake(Exception):
    """The table or the build can't be used; nothing is said about the rule."""


class Rule:
    def __init__(self, name, path, line):
        self.name = name
        self.path = path
        self.line = line
        self.scenarios = []
        self.edit = []  # of (sign, text): ' ' in both, '-' with the rule, '+' without it

    def mistake(self, text):
        return Mistake(f"{TABLE.name}:{self.line}: {self.name}: {text}")

    def source_without(self, source):
        """The file's text without the rule. Blanks around a line don't matter."""
        lines = source.splitlines()
        old = [text.strip() for sign, text in self.edit if sign != "+"]
        new = [text.strip() for sign, text in self.edit if sign != "-"]
        places = [i for i in range(len(lines) - len(old) + 1)
                  if all(lines[i + k].strip() == old[k] for k in range(len(old)))]
        if len(places) != 1:
            raise self.mistake(f"its text stands {len(places)} times in {self.path}, expected once")
        at = places[0]
        return "\n".join(lines[:at] + new + lines[at + len(old):]) + "\n"


def read_table():
    """See the table's own head for the format."""
    rules = []
    path = None
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        word, _, rest = line.partition(" ")
        if line[:1] in ("+", "-") or (line[:1] == " " and rules):
            rules[-1].edit.append((line[0], line[1:]))
        elif word == "in":
            path = rest.strip()
        elif word == "rule" and path is not None:
            rules.append(Rule(rest.strip(), path, number))
        elif word == "shown" and rules:
            rules[-1].scenarios = rest.removeprefix("by ").split()
        elif line and word != "#":
            raise Mistake(f"{TABLE.name}:{number}: expected in, rule, shown by or lines of a change")
    for rule in rules:
        if not any(sign != " " for sign, _ in rule.edit):
            raise rule.mistake("nothing is taken out")
        for name in rule.scenarios:
            if not (HERE / f"{name}.scn").exists():
                raise rule.mistake(f"there is no scenario {name}")
    return rules


@functools.cache
def read_commands():
    return json.loads((BUILD / "compile_commands.json").read_text())


def compile_command(path):
    """That of the library which the scenario program is linked with, without where it writes to."""
    folder = f"{pathlib.Path(path).parent}/CMakeFiles/"
    for entry in read_commands():
        if pathlib.Path(entry["file"]) != SOURCE / path:
            continue
        words = shlex.split(entry["command"])
        at = words.index("-o")
        if words[at + 1].startswith(folder):
            return words[:at]
    raise Mistake(f"{BUILD.name} does not compile {path}")


@functools.cache
def link_command():
    """The words that link the scenario program, split at its name."""
    done = subprocess.run(["ninja", "-C", str(BUILD), "-t", "commands", "tests/scenarios/scenario"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Mistake(f"ninja does not say how the scenario program is linked: {done.stderr.strip()}")
    words = [word for word in shlex.split(done.stdout.splitlines()[-1]) if word not in (":", "&&")]
    at = words.index("-o")
    return words[:at], words[at + 2:]


def run_tool(command, rule, what):
    done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise rule.mistake(f"{what} fails without it:\n{done.stderr}")


def build_without(rule, scratch):
    """The scenario program without the rule."""
    source = scratch / pathlib.Path(rule.path).name
    made = source.with_suffix(".o")
    program = scratch / "scenario"
    before, after = link_command()

    source.write_text(rule.source_without((SOURCE / rule.path).read_text()))
    run_tool(compile_command(rule.path) + ["-w", "-O0", "-g0", "-U_FORTIFY_SOURCE", "-o", str(made), "-c",
                                           str(source)], rule, "compiling")
    # In front of the libraries, so that it is taken in place of the one in them.
    run_tool(before + QUICK_LINKER + [str(made), "-o", str(program), "-s"] + after, rule, "linking")
    return program


def is_sanitized():
    return any("-fsanitize=" in word for word in link_command()[0])


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_MAX, SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not is_sanitized():  # the shadow of a sanitizer is larger than any memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


def fails(program, name):
    done = subprocess.run([program, HERE / f"{name}.scn"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, preexec_fn=limit, check=False)
    return done.returncode != 0


def choose(rules):
    """One in PARTS: which, the sources say, so that the same checkout always tries the same."""
    digest = hashlib.sha256()
    for path in sorted({rule.path for rule in rules}):
        digest.update((SOURCE / path).read_bytes())
    return rules[int(digest.hexdigest(), 16) % PARTS::PARTS]


def check_with_rules(rules):
    program = BUILD / "tests/scenarios/scenario"
    if not program.exists():
        raise Mistake(f"{program} is not built")
    bad = [name for name in sorted({name for rule in rules for name in rule.scenarios})
           if fails(program, name)]
    if bad:
        raise Mistake(f"with all rules these must pass, but fail: {' '.join(bad)}")


def try_rule(rule, find):
    """What is told of it, and whether it is shown."""
    with tempfile.TemporaryDirectory() as folder:
        program = build_without(rule, pathlib.Path(folder))
        if find:
            found = [path.stem for path in sorted(HERE.glob("*.scn")) if fails(program, path.stem)]
            return " ".join(found) or "NONE FAILS", bool(found)
        passed = [name for name in rule.scenarios if not fails(program, name)]
        if passed or not rule.scenarios:
            return f"SURVIVES {' '.join(passed) or 'no scenario is named'}", False
        return " ".join(rule.scenarios), True


def try_all(rules, find):
    shown = 0
    mistakes = 0
    width = max(len(rule.name) for rule in rules)
    for rule in rules:
        try:
            text, is_shown = try_rule(rule, find)
            shown += is_shown
        except Mistake as mistake:
            mistakes += 1
            text = f"MISTAKE {mistake}"
        print(f"{rule.name:{width}}  {text}", flush=True)
    return shown, mistakes


def main():
    parser = argparse.ArgumentParser(description="Whether each rule has a scenario that fails without it.")
    parser.add_argument("--all", action="store_true", help="all rules, not only a part of them")
    parser.add_argument("--rule", metavar="TEXT", help="those with TEXT in their name")
    parser.add_argument("--find", action="store_true", help="print which of all scenarios fail")
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        table = read_table()
        rules = table if options.all else choose(table)
        if options.rule is not None:
            rules = [rule for rule in table if options.rule in rule.name]
        if not rules:
            raise Mistake("the table has no such rule")
        check_with_rules(rules)
        shown, mistakes = try_all(rules, options.find)
    except Mistake as mistake:
        print(f"without.py: {mistake}", file=sys.stderr)
        return 2
    survivors = len(rules) - shown - mistakes
    print(f"{len(rules)} of {len(table)} rules tried in {time.monotonic() - begin:.0f} s: {shown} are shown, "
          f"{survivors} survive, {mistakes} mistakes in the table")
    return 0 if shown == len(rules) else 1


if __name__ == "__main__":
    sys.exit(main())
