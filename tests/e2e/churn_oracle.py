"""The example pipeline against an independent computation over the raw events.

`churn_oracle.py quickstart` checks what was published below that folder; quickstart.py is the test.

The oracle shares no code with the tasks: it takes the raw lines apart with one regular expression per
feed, and computes labels and features by looking at every event for every row.
"""
import csv
import glob
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest

from harness import DUCKQ, contents

FORMS = {
    "purchases": r"(p[0-9]{9}),([0-9]+),([^,]*),([0-9]+\.[0-9]{2}),([A-Z]{3}),([^,]*)",
    "logins": r'(l[0-9]{9}),([0-9]+),([^,]*),([a-z]+|"tablet, 10 inch"),([^,]*)',
}
COLUMNS = {
    "purchases": ["event_id", "user_id", "event_ts", "amount", "currency", "ingest_ts"],
    "logins": ["event_id", "user_id", "event_ts", "device", "ingest_ts"],
}
TYPES = {"user_id": "BIGINT", "event_ts": "TIMESTAMP", "amount": "DECIMAL(12,2)", "ingest_ts": "TIMESTAMP"}


def lines(raw, feed):
    """SQL: every line of a feed but the headers, with its day."""
    return (f"SELECT rtrim(line, chr(13)) AS line, regexp_extract(filename, 'dt=([0-9-]{{10}})', 1) AS dt "
            f"FROM read_csv('{raw}/{feed}/dt=*/*.csv*', columns = {{'line': 'VARCHAR'}}, delim = chr(1), "
            f"quote = '', escape = '', header = false, filename = true, auto_detect = false, "
            f"max_line_size = 1000000) WHERE line NOT LIKE 'event_id,%'")


def parsed_events(raw, feed):
    """SQL: the events of a feed that can be read, each once: as it was last delivered that day."""
    names = COLUMNS[feed]
    values = ", ".join(f"TRY_CAST(trim(regexp_extract(line, '{FORMS[feed]}', {i + 1}), '\"') AS "
                       f"{TYPES.get(name, 'VARCHAR')}) AS {name}" for i, name in enumerate(names))
    return (f"SELECT dt, event_id, {', '.join(f'arg_max({n}, ingest_ts) AS {n}' for n in names[1:])} FROM "
            f"(SELECT dt, {values} FROM ({lines(raw, feed)}) WHERE regexp_full_match(line, '{FORMS[feed]}')) "
            f"WHERE event_ts IS NOT NULL AND ingest_ts IS NOT NULL GROUP BY dt, event_id")


def events(parsed, feed):
    """SQL: the same from the file that check() put them in, since taking lines apart is slow."""
    return f"FROM read_parquet('{parsed}/{feed}.parquet')"


def query(sql):
    """Rows as lists of texts."""
    done = subprocess.run([DUCKQ, "--csv", sql], text=True, capture_output=True)
    if done.returncode != 0:
        raise AssertionError(f"{done.stderr}\n{sql}")
    return list(csv.reader(io.StringIO(done.stdout)))[1:]


def number(sql):
    return int(query(sql)[0][0])


def published(path):
    return f"read_parquet('{path}/**/*.parquet', hive_partitioning = false)"


def check_ingests(test, folder, parsed, feed):
    """Per day: lines in = rows out + duplicates + rejected, and each of the three is right."""
    counted = query(f"SELECT l.dt, l.n, e.n FROM (SELECT dt, count(*) AS n FROM ({lines(folder + '/raw', feed)}) "
                    f"GROUP BY dt) l JOIN (SELECT dt, count(*) AS n FROM ({events(parsed, feed)}) "
                    f"GROUP BY dt) e ON e.dt = l.dt ORDER BY l.dt")
    bad = dict(query(f"SELECT dt, count(*) FROM ({lines(folder + '/raw', feed)}) WHERE NOT regexp_full_match("
                     f"line, '{FORMS[feed]}') OR TRY_CAST(regexp_extract(line, '{FORMS[feed]}', 3) AS TIMESTAMP) "
                     f"IS NULL GROUP BY dt"))
    manifests = contents(os.path.join(folder, "lake", feed))
    test.assertEqual(sorted(manifests), ["dt=" + dt for dt, _, _ in counted])
    for dt, rows_in, rows_out in counted:
        content = manifests["dt=" + dt]
        rejected = int(bad.get(dt, 0))
        test.assertEqual((content["counts"]["rows_in"], content["rows"], content["counts"]["rejected"],
                          content["counts"]["duplicates"]),
                         (int(rows_in), int(rows_out), rejected, int(rows_in) - int(rows_out) - rejected), dt)
    same_rows(test, f"SELECT {', '.join(COLUMNS[feed])} FROM ({events(parsed, feed)})",
              f"SELECT {', '.join(COLUMNS[feed])} FROM {published(os.path.join(folder, 'lake', feed))}")
    return len(counted), sum(int(row[1]) for row in counted), sum(int(row[2]) for row in counted)


def same_rows(test, want, got):
    differing = query(f"WITH want AS ({want}), got AS ({got}) SELECT 'missing' AS what, COLUMNS(*) FROM (FROM want "
                      "EXCEPT ALL FROM got) UNION ALL SELECT 'unexpected', COLUMNS(*) FROM (FROM got EXCEPT ALL FROM "
                      "want) LIMIT 10")
    test.assertEqual(differing, [])


def labels(parsed):
    """SQL: users active in the 30 days before each weekly instant, and whether they stayed away after."""
    return (f"WITH l AS MATERIALIZED (SELECT user_id, event_ts FROM ({events(parsed, 'logins')})), "
            "ends AS (SELECT min(event_ts)::DATE AS first_day, max(event_ts)::DATE AS last_day FROM l), "
            "weeks AS (SELECT (first_day + i::INTEGER)::TIMESTAMP AS label_ts FROM ends, range(30, 4000, 7) t(i) "
            "WHERE first_day + i::INTEGER + 30 <= last_day + 1), "
            "active AS (SELECT DISTINCT user_id, label_ts FROM l, weeks WHERE event_ts > label_ts - INTERVAL 30 DAY "
            "AND event_ts <= label_ts), "
            "back AS (SELECT DISTINCT user_id, label_ts FROM l, weeks WHERE event_ts > label_ts AND event_ts <= "
            "label_ts + INTERVAL 30 DAY) "
            "SELECT user_id, label_ts, NOT EXISTS (SELECT 1 FROM back b WHERE b.user_id = a.user_id AND b.label_ts = "
            "a.label_ts) AS churned FROM active a")


def features(parsed):
    """SQL: the training set, by joining every event to every label it may count for."""
    joins = {}
    for feed, value in (("purchases", "amount"), ("logins", "0")):
        joins[feed] = (
            f"SELECT s.user_id, s.label_ts, count(*) AS n30, count(*) FILTER (event_ts > label_ts - INTERVAL 7 DAY) "
            f"AS n7, sum({value}) AS s30, sum({value}) FILTER (event_ts > label_ts - INTERVAL 7 DAY) AS s7 FROM s JOIN "
            f"({events(parsed, feed)}) e ON e.user_id = s.user_id AND event_ts <= label_ts AND ingest_ts <= label_ts AND "
            f"event_ts > label_ts - INTERVAL 30 DAY GROUP BY ALL")
    return (f"WITH s AS MATERIALIZED ({labels(parsed)}), p AS ({joins['purchases']}), l AS ({joins['logins']}) "
            "SELECT s.user_id, s.label_ts, s.churned, coalesce(p.s7, 0) AS spend_7d, coalesce(p.s30, 0) AS spend_30d, "
            "coalesce(p.n7, 0) AS purchases_7d, coalesce(p.n30, 0) AS purchases_30d, coalesce(l.n7, 0) AS logins_7d, "
            "coalesce(l.n30, 0) AS logins_30d FROM s LEFT JOIN p ON (p.user_id, p.label_ts) = (s.user_id, s.label_ts) "
            "LEFT JOIN l ON (l.user_id, l.label_ts) = (s.user_id, s.label_ts)")


FEATURES = ("user_id, label_ts, churned, spend_7d, spend_30d, purchases_7d, purchases_30d, logins_7d, logins_30d")
KEY = ("user_id", "label_ts", "churned", "spend_7d", "spend_30d", "purchases_7d", "purchases_30d", "logins_7d",
       "logins_30d")


def split_rows(folder, split):
    """The training set's rows of a split, by the rule of the DAG: cut at a day, a month left out."""
    where = {"train": "label_ts < '2026-02-22'", "test": "label_ts >= '2026-03-24'"}[split]
    return f"SELECT {FEATURES} FROM {published(os.path.join(folder, 'lake', 'churn_training'))} WHERE {where}"


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


def masked_crc(data, table=crc32c_table()):
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    value ^= 0xFFFFFFFF
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a TFRecord file; every CRC must hold."""
    with open(path, "rb") as file:
        while head := file.read(12):
            length, crc = struct.unpack("<QI", head)
            assert masked_crc(head[:8]) == crc, f"{path}: wrong CRC of a length"
            data = file.read(length)
            assert masked_crc(data) == struct.unpack("<I", file.read(4))[0], f"{path}: wrong CRC of a record"
            yield data


def fields(data):
    """(field number, value) of a protobuf message; nested ones as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        assert tag & 7 == 2, tag
        length = varint()
        yield tag >> 3, data[at:at + length]
        at += length


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value - (1 << 64) if value >> 63 else value
            value = shift = 0


def example(data):
    """A tf.train.Example as a dictionary."""
    found = {}
    for _, entry in fields(next(fields(data))[1]):
        parts = dict(fields(entry))
        kind, values = next(fields(parts[2]))
        values = b"".join(value for _, value in fields(values))
        found[parts[1].decode()] = (list(varints(values)) if kind == 3 else
                                    list(struct.unpack(f"<{len(values) // 4}f", values)) if kind == 2 else values)
    return found


def samples(path):
    """key → members of a WebDataset tar; the members of a sample must be neighbours."""
    with tarfile.open(path, "r:") as archive:
        found = {}
        last = None
        for member in archive:
            key, extension = member.name.split(".", 1)
            assert key == last or key not in found, f"{path}: {key} is torn apart"
            assert (member.mtime, member.mode) == (0, 0o444), member
            found.setdefault(key, {})[extension] = archive.extractfile(member).read()
            last = key
        return found


def check_parquet(test, folder, split):
    base = os.path.join(folder, "shards", "churn_parquet", split)
    same_rows(test, split_rows(folder, split), f"SELECT {FEATURES} FROM {published(base)}")


def check_webdataset(test, folder, split, want):
    got = []
    for path in sorted(glob.glob(os.path.join(folder, "shards", "churn_webdataset", split, "*.tar"))):
        for members in samples(path).values():
            row = json.loads(members["json"])
            row["label_ts"] = row["label_ts"].replace("T", " ").rstrip("Z")
            row["churned"] = "true" if row["churned"] else "false"
            got.append(tuple(str(row[name]) if not name.startswith("spend") else f"{row[name]:.2f}" for name in KEY))
    test.assertEqual(sorted(got), want)


def check_tfrecord(test, folder, split, want):
    got = {}
    for path in sorted(glob.glob(os.path.join(folder, "shards", "churn_tfrecord", split, "*.tfrecord"))):
        for data in records(path):
            row = example(data)
            key = (row["user_id"][0], row["label_ts"][0])
            test.assertNotIn(key, got)
            got[key] = row
    epoch = {text: int(us) for text, us in query(
        f"SELECT DISTINCT label_ts, epoch_us(label_ts) FROM ({split_rows(folder, split)})")}
    test.assertEqual(len(got), len(want))
    for values in want:
        row = got[int(values[0]), epoch[values[1]]]
        test.assertEqual(row["churned"][0], values[2] == "true")
        for name, value in zip(KEY[3:], values[3:]):
            expected = struct.unpack("<f", struct.pack("<f", float(value)))[0]
            test.assertEqual(row[name][0], expected, (values, name))


def check_shards(test, folder):
    for split in ("train", "test"):
        want = sorted(tuple(row) for row in query(split_rows(folder, split)))
        test.assertGreater(len(want), 0, split)
        check_parquet(test, folder, split)
        check_webdataset(test, folder, split, want)
        check_tfrecord(test, folder, split, want)
        for name in ("churn_parquet", "churn_webdataset", "churn_tfrecord"):
            content = contents(os.path.join(folder, "shards", name))["."]
            facts = content["splits"][split]
            test.assertEqual(facts["rows"], len(want), name)
            test.assertEqual(facts["labels"].get("true", 0), sum(row[2] == "true" for row in want), name)
            test.assertEqual(content["counts"]["rows_in"],
                             content["counts"]["rows_out"] + content["counts"]["filtered"], name)


def check(test, folder):
    """Checks all that the example published below a folder. Returns what it looked at, for a line."""
    folder = os.path.abspath(folder)
    lake = os.path.join(folder, "lake")
    with tempfile.TemporaryDirectory() as parsed:
        for feed in COLUMNS:
            query(f"COPY ({parsed_events(os.path.join(folder, 'raw'), feed)}) TO '{parsed}/{feed}.parquet'")
        seen = {feed: check_ingests(test, folder, parsed, feed) for feed in COLUMNS}
        same_rows(test, labels(parsed),
                  f"SELECT user_id, label_ts, churned FROM {published(os.path.join(lake, 'churn_labels'))}")
        same_rows(test, features(parsed), f"SELECT {FEATURES} FROM {published(os.path.join(lake, 'churn_training'))}")
    check_shards(test, folder)
    seen["training rows"] = number(f"SELECT count(*) FROM {published(os.path.join(lake, 'churn_training'))}")
    return seen


if __name__ == "__main__":
    print(check(unittest.TestCase(), sys.argv[1]))
