#!/usr/bin/env python3
"""Style as a test: banned calls with their replacement, one door per library, layers, headers.

Usage: tidy.py ROOT [CC]. Prints every finding as path:line: text, and exits 1 if there is one.
Length findings advise only.
"""
import os
import re
import subprocess
import sys

ROOT = sys.argv[1]
CC = sys.argv[2] if len(sys.argv) > 2 else "cc"

# pattern, where it is allowed (path prefixes), what to use
BANNED = [
    (r"\b(strcpy|strcat|sprintf|gets|strtok|atoi|atol|atof)\s*\(", ["tests/"], "buf_*, str_to_int(), str_to_float()"),
    (r"\b(malloc|calloc|realloc)\s*\(", ["base/mem.c", "tests/"], "mem_alloc() and friends"),
    (r"\b(time|gettimeofday|localtime|gmtime|clock_gettime)\s*\(", ["base/clock.c", "tests/"],
     "clock_wall_us() at the edges, event->now_us in the core"),
    (r"\b(system|popen)\s*\(", ["tests/"], "a launch without a shell"),
    (r"\b(TODO|FIXME|XXX|HACK)\b", [], "an issue"),
]

# library prefix, the folders that may use it
DOORS = [
    (r"\bsqlite3_\w+\s*\(", ["scheduler/store/", "tests/"]),
    (r"\byaml_\w+\s*\(", ["scheduler/dagfile/"]),
    (r"\bMHD_\w+\s*\(", ["web/"]),
    (r"\bduckdb_\w+\s*\(", ["tasks/engine/", "tests/"]),
    (r"\buv_\w+\s*\(", ["scheduler/", "worker/", "web/", "cli/", "tests/"]),
    (r"\bcurl_(easy|slist|multi|global)_\w+\s*\(|<curl/", ["cli/curl.", "tasks/http/client.c"]),
    (r"\bscols_\w+\s*\(", ["cli/table.c"]),
]

# folder, what its files may include of ours
LAYERS = {
    "base/": ["base/", "millrace/"],
    "include/millrace/": ["base/", "millrace/", "tasks/kinds.def"],
    "scheduler/core/": ["base/", "millrace/", "scheduler/core/"],
    "scheduler/dagfile/": ["base/", "millrace/", "scheduler/core/", "scheduler/dagfile/"],
    "scheduler/store/": ["base/", "millrace/", "scheduler/store/"],
    "scheduler/": ["base/", "millrace/", "scheduler/"],
    "tasks/": ["base/", "millrace/", "tasks/"],
    "worker/": ["base/", "millrace/", "tasks/", "worker/"],
    "web/": ["base/", "millrace/", "scheduler/core/", "scheduler/store/read", "scheduler/dagfile/", "web/"],
}

CORE_FORBIDDEN = re.compile(r"\b(log_(debug|info|warn|error)|clock_\w+_us|fopen|open|read|write|rand|random|getenv)\s*\(")

findings = []
advice = []


def finding(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def allowed(path, prefixes):
    return any(path.startswith(prefix) for prefix in prefixes)


def strip_comments(text):
    keep_lines = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    text = re.sub(r"/\*.*?\*/", keep_lines, text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    return re.sub(r"//[^\n]*", "", text)


def check_calls(path, text):
    # Comments must not hide an unfinished mark, so those are looked for in the raw text.
    code = strip_comments(text)
    for pattern, where, use in BANNED:
        source = text if "TODO" in pattern else code
        if allowed(path, where):
            continue
        for match in re.finditer(pattern, source):
            finding(path, source.count("\n", 0, match.start()) + 1, f"{match.group(0).strip('( ')}: use {use}")
    for pattern, where in DOORS:
        for match in re.finditer(pattern, code):
            if not allowed(path, where):
                finding(path, code.count("\n", 0, match.start()) + 1,
                        f"{match.group(0).strip('( ')} belongs in {', '.join(where)}")
    if path.startswith("scheduler/core/"):
        for match in CORE_FORBIDDEN.finditer(code):
            finding(path, code.count("\n", 0, match.start()) + 1, f"{match.group(1)}: the core is pure")


def check_layers(path, text):
    layer = next((folder for folder in LAYERS if path.startswith(folder)), None)
    if layer is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#include "([^"]+)"', line)
        if match and "/" in match.group(1) and not allowed(match.group(1), LAYERS[layer]):
            finding(path, number, f"{layer} may not include {match.group(1)}")


def check_header(path, text):
    if not text.startswith("/*"):
        finding(path, 1, "a header opens with what the module is for")
    name = path.replace("include/", "")
    run = subprocess.run(
        [CC, "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-xc", "-", f"-I{ROOT}/include", f"-I{ROOT}",
         f"-I{ROOT}/.deps/duckdb"],
        input=f'#include "{name}"\nint main(void);\n', text=True, capture_output=True)
    if run.returncode != 0:
        finding(path, 1, "does not compile alone: " + run.stderr.strip().splitlines()[0])


def check_lengths(path, text):
    lines = text.splitlines()
    if len(lines) > 600:
        advice.append(f"{path}: {len(lines)} lines")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start > 80:
                advice.append(f"{path}:{start}: function of {number - start} lines")
            start = None


def check_readme_map():
    """The folder map of README names exactly the top-level folders there are."""
    with open(os.path.join(ROOT, "README.md")) as file:
        readme = file.read()
    named = set(re.findall(r"^(\w+)/ ", readme, flags=re.M))
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], text=True, capture_output=True).stdout
    real = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    real = {name for name in real if not name.startswith(".")}
    for name in sorted(real ^ named):
        finding("README.md", 1, f"folder map and tree disagree about {name}/")


def check_api_docs():
    """Every route stands in docs/api.md with the summary of the routes table, and no other does."""
    with open(os.path.join(ROOT, "web/routes.def")) as file:
        routes = re.findall(r'^ROUTE\((\w+), "([^"]+)", \w+, .*, "([^"]*)"\)', file.read(), flags=re.M)
    with open(os.path.join(ROOT, "docs/api.md")) as file:
        rows = re.findall(r"^\| (\w+) \| `([^`]+)` \| ([^|]*) \|$", file.read(), flags=re.M)
    for method, path, summary in sorted(set(routes) ^ set(rows)):
        finding("docs/api.md", 1, f"docs and web/routes.def disagree about {method} {path} ({summary})")


def check_words(path, text):
    for match in re.finditer(r"https?://registry\.|\"resolved\": *\"http", text):
        finding(path, text.count("\n", 0, match.start()) + 1, "names a registry's host")


def main():
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
                             text=True, capture_output=True).stdout.splitlines()
    for path in tracked:
        full = os.path.join(ROOT, path)
        if not os.path.isfile(full) or path.startswith("tests/tidy/"):
            continue
        try:
            with open(full, encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:
            continue
        check_words(path, text)
        if not path.endswith((".c", ".h")):
            continue
        check_calls(path, text)
        check_layers(path, text)
        check_lengths(path, text)
        if path.endswith(".h"):
            check_header(path, text)
    check_readme_map()
    check_api_docs()
    for line in advice:
        print("advice:", line)
    for line in findings:
        print(line)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


sys.exit(main())
