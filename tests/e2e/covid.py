"""Real data, end to end: 141 daily reports through dags/covid_daily.yaml and dags/covid_features.yaml.

What the pipeline published is compared with what this file computes by other means: the reports and
the source's own time series, both read with Python's csv. Report and series disagree in places, and
covid_differences.csv lists where and why: the list has to be exact, and each explanation that can be
checked against the two is checked. The records it names are those of the source's repository:
csse_covid_19_data/README.md and csse_covid_19_time_series/Errata.csv.
"""
import csv
import datetime
import functools
import json
import os
import re
import shutil
import subprocess
import unittest
from collections import Counter, defaultdict

from harness import DUCKQ, SHARED_DATA, SOURCE, Case, Project, contents, skip_all

REPORTS = os.path.join(SHARED_DATA, "jhu-covid-daily")
SERIES = os.path.join(SHARED_DATA, "time_series_confirmed_global.csv")
DIFFERENCES = os.path.join(SOURCE, "tests", "e2e", "covid_differences.csv")

FIRST = datetime.date(2020, 1, 22)
LAST = datetime.date(2020, 6, 10)
DAY = datetime.timedelta(days=1)
DAYS = [FIRST + DAY * i for i in range((LAST - FIRST).days + 1)]
REFUSED = datetime.date(2020, 3, 21)

# Names of the reports → the series' name of the country that they are, or were counted in.
COUNTRIES = {
    "Bahamas": ["Bahamas, The", "The Bahamas"],
    "China": ["Hong Kong", "Hong Kong SAR", "Macao SAR", "Macau", "Mainland China"],
    "Congo (Brazzaville)": ["Republic of the Congo"],
    "Cote d'Ivoire": ["Ivory Coast"],
    "Czechia": ["Czech Republic"],
    "Denmark": ["Faroe Islands", "Greenland"],
    "Diamond Princess": ["Cruise Ship", "Others"],
    "France": ["French Guiana", "Guadeloupe", "Martinique", "Mayotte", "Reunion", "Saint Barthelemy",
               "Saint Martin", "St. Martin"],
    "Gambia": ["Gambia, The", "The Gambia"],
    "Holy See": ["Vatican City"],
    "Iran": ["Iran (Islamic Republic of)"],
    "Ireland": ["Republic of Ireland"],
    "Korea, South": ["Republic of Korea", "South Korea"],
    "Moldova": ["Republic of Moldova"],
    "Netherlands": ["Aruba", "Curacao"],
    "Russia": ["Russian Federation"],
    "Taiwan*": ["Taipei and environs", "Taiwan"],
    "US": ["Guam", "Puerto Rico"],
    "United Kingdom": ["Cayman Islands", "Channel Islands", "Gibraltar", "Guernsey", "Jersey",
                       "North Ireland", "UK"],
    "Vietnam": ["Viet Nam"],
    "West Bank and Gaza": ["Palestine", "occupied Palestinian territory"],
}
COUNTRY_OF = {raw: country for country, names in COUNTRIES.items() for raw in names}


def query(sql):
    done = subprocess.run([DUCKQ, sql], text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{done.stderr}\n{sql}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def report_path(day):
    return os.path.join(REPORTS, day.strftime("%m-%d-%Y.csv"))


INSTANT = re.compile(r"(?:(\d+)/(\d+)/(\d+)|(\d+)-(\d+)-(\d+))[ T](\d+):(\d+)(?::(\d+))?")


@functools.lru_cache(maxsize=None)
def instant(text):
    """Any of the reports' forms of time, as seconds since 1970."""
    month, day, year, iso_year, iso_month, iso_day, hour, minute, second = INSTANT.fullmatch(text).groups()
    if month is not None:
        year = int(year) + (2000 if len(year) == 2 else 0)
    else:
        year, month, day = iso_year, iso_month, iso_day
    when = datetime.datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0),
                             tzinfo=datetime.timezone.utc)
    return int(when.timestamp())


class Report:
    """A day's report, read by Python's csv, without a repeated header."""

    NAMES = {"Province/State": "Province_State", "Country/Region": "Country_Region", "Last Update": "Last_Update"}

    def __init__(self, day):
        with open(report_path(day), encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = [self.NAMES.get(name, name) for name in next(lines)]
            rows = [dict(zip(header, line)) for line in lines]
        self.rows = [row for row in rows if row["Country_Region"] != "Country_Region"]
        self.repeated_headers = len(rows) - len(self.rows)
        places = {}   # of a place that comes twice, the last row
        for row in self.rows:
            places[row["Country_Region"], row["Province_State"], row.get("Admin2", "")] = row
        self.places = list(places.values())

    def facts(self):
        """Row count and sums, to compare with the same sums over the published partition."""
        found = Counter(rows=len(self.places), updated=0)
        for row in self.places:
            found["updated"] += instant(row["Last_Update"])
            for name in ("Confirmed", "Deaths", "Recovered", "Active"):
                found[name.lower()] += int(row.get(name) or 0)
                found["no_" + name.lower()] += not row.get(name)
            found["no_province"] += not row["Province_State"]
            found["no_county"] += not row.get("Admin2")
        return dict(found)


def read_series():
    """((country, day) → confirmed, (country, day) → {province: confirmed}) of the time series."""
    totals, provinces = Counter(), defaultdict(dict)
    with open(SERIES, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        days = [datetime.datetime.strptime(text, "%m/%d/%y").date() for text in next(lines)[4:]]
        for province, country, _, _, *counts in lines:
            for day, count in zip(days, counts):
                totals[country, day] += int(count)
                provinces[country, day][province] = int(count)
    return totals, provinces


def read_differences():
    """(country, day) → (report, series, explanation) of the committed list."""
    def number(text):
        return None if text == "" else int(text)

    found = {}
    with open(DIFFERENCES, newline="") as file:
        for row in csv.DictReader(file):
            key = row["country"], datetime.date.fromisoformat(row["date"])
            if key in found:
                raise AssertionError(f"{key} stands twice in covid_differences.csv")
            found[key] = number(row["report"]), number(row["series"]), row["explanation"]
    return found


class Published:
    """What the two DAGs left in the lake."""

    def __init__(self, project):
        self.lake = project.path("lake")
        self.places = defaultdict(list)   # (country, day) → [(raw country, province, confirmed)]
        for row in query(f"""SELECT country, province, sum(confirmed)::BIGINT AS confirmed, dt
                             FROM {self.source("covid_reports/*", "hive_partitioning = true")}
                             GROUP BY ALL"""):
            raw = row["country"].strip()
            key = COUNTRY_OF.get(raw, raw), datetime.date.fromisoformat(row["dt"])
            self.places[key].append((raw, row["province"], row["confirmed"] or 0))
        self.totals = {key: sum(place[2] for place in places) for key, places in self.places.items()}

    def source(self, dataset, *more):
        return f"read_parquet({', '.join([repr(os.path.join(self.lake, dataset, '*.parquet')), *more])})"


class Covid(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.project = Project()
        cls.addClassCleanup(cls.project.remove)
        for name in ("covid_daily.yaml", "covid_features.yaml"):
            shutil.copy(os.path.join(SOURCE, "dags", name), cls.project.path("dags", name))
        cls.daily = cls.project.command("run", "dags/covid_daily.yaml", "-p", "data=" + SHARED_DATA,
                                        "--from", str(FIRST), "--to", str(LAST),
                                        timeout=500)
        if cls.daily.returncode != 6:   # one day fails; with anything else there is nothing to compare
            raise AssertionError(f"exit code {cls.daily.returncode}: {cls.daily.stderr}")
        cls.features = cls.project.command("run", "dags/covid_features.yaml")
        cls.published = Published(cls.project)
        cls.series, cls.series_provinces = read_series()

    def report(self, country, day):
        return self.published.totals.get((country, day))

    def logs_of(self, day):
        """The log lines of the run of a day, found by the path of its partition."""
        found = []
        for folder, _, files in os.walk(self.project.path(".millrace", "logs")):
            for name in files:
                with open(os.path.join(folder, name)) as file:
                    text = file.read()
                if f"covid_reports/dt={day}" in text:
                    found += text.splitlines()
        return found

    def test_only_the_merge_conflict_fails(self):
        ended = re.findall(r"^(\w+) +backfill__(\S+)T00:00:00\+00:00 ", self.daily.stderr, re.MULTILINE)
        failed = {day for state, day in ended if state != "success"}
        self.assertEqual(failed, {str(REFUSED)}, self.daily.stderr)
        self.assertEqual({day for _, day in ended}, {str(day) for day in DAYS})
        message = next(line for line in self.daily.stderr.splitlines() if "ingest_report" in line)
        self.assertIn(report_path(REFUSED) + ":1:", message)
        self.assertIn("<<<<<<< HEAD", message)
        self.assertIn("merge conflict", message)
        partitions = {name for name in os.listdir(self.project.path("lake", "covid_reports"))}
        self.assertEqual(partitions, {f"dt={day}" for day in DAYS if day != REFUSED})

    def test_every_row_arrives(self):
        sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}, "
                         f"count(*) FILTER (WHERE {name} IS NULL) AS no_{name}"
                         for name in ("confirmed", "deaths", "recovered", "active"))
        found = {}
        for row in query(f"""SELECT dt, count(*) AS rows, sum(epoch(last_update))::BIGINT AS updated, {sums},
                                    count(*) FILTER (WHERE province IS NULL) AS no_province,
                                    count(*) FILTER (WHERE county IS NULL) AS no_county
                             FROM {self.published.source("covid_reports/*", "hive_partitioning = true")}
                             GROUP BY dt"""):
            found[row.pop("dt")] = row
        for day in DAYS:
            if day == REFUSED:
                continue
            report = Report(day)
            self.assertEqual(found[str(day)], report.facts(), day)
            with open(self.project.path("lake", "covid_reports", f"dt={day}", "_manifest.json")) as file:
                counts = json.load(file)["content"]["counts"]
            self.assertEqual(counts, {"rows_in": len(report.rows) + report.repeated_headers,
                                      "rows_out": len(report.places),
                                      "duplicates": len(report.rows) - len(report.places),
                                      "rejected": report.repeated_headers, "filtered": 0}, day)

    def test_the_repeated_header_is_rejected_with_its_line(self):
        folder = self.project.path("lake.millrace", "rejects", "covid_reports")
        self.assertEqual(os.listdir(folder), ["dt=2020-02-04"])
        folder = os.path.join(folder, "dt=2020-02-04")
        with open(os.path.join(folder, os.listdir(folder)[0])) as file:
            rejects = [json.loads(line) for line in file]
        self.assertEqual([(reject["line"], reject["reason"]) for reject in rejects], [(2, "repeats the header")])
        self.assertEqual(rejects[0]["file"], report_path(datetime.date(2020, 2, 4)))

    def test_row_counts_are_compared_with_the_days_before(self):
        """03-22 comes by county: 3416 rows. The mean of the 7 days in before it is of 03-14 to 03-20."""
        before = [len(Report(datetime.date(2020, 3, day)).places) for day in range(14, 21)]
        lines = [line for line in self.logs_of("2020-03-22") if "expect_row_count_change" in line]
        self.assertEqual(len(lines), 2, lines)
        for line, outcome in zip(lines, ("ok", "warning")):
            self.assertRegex(line, rf" {outcome} ")
            self.assertIn(f"3416 rows against {sum(before) / 7:.10g} in the 7 before", line)

    def test_totals_agree_with_the_time_series(self):
        pairs = set(self.published.totals) | {key for key, count in self.series.items() if count != 0}
        values = {key: (self.report(*key), self.series.get(key)) for key in pairs}
        different = {key: value for key, value in values.items() if value[0] != value[1]}
        self.assertGreaterEqual(len(pairs) - len(different), 17000)
        listed = {key: value[:2] for key, value in read_differences().items()}
        self.maxDiff = 4000
        self.assertEqual({key: value for key, value in different.items() if listed.get(key) != value}, {},
                         "different, but not listed so")
        self.assertEqual({key: value for key, value in listed.items() if different.get(key) != value}, {},
                         "listed, but not different so")

    def test_explanations_of_differences_hold(self):
        for (country, day), (report, series, explanation) in read_differences().items():
            kind, _, text = explanation.partition(": ")
            with self.subTest(country=country, day=str(day), explanation=explanation):
                self.assertTrue(text, "an explanation is `kind: text`")
                check = getattr(self, "explain_" + kind.replace(" ", "_"))
                check(country, day, report, series, text)

    def explain_refused_day(self, country, day, report, series, text):
        self.assertEqual(day, REFUSED)
        self.assertIsNone(report)

    def explain_no_row(self, country, day, report, series, text):
        self.assertIsNone(report)
        self.assertNotEqual(day, REFUSED)

    def explain_no_series(self, country, day, report, series, text):
        self.assertIsNone(series)
        self.assertFalse(any(other == country for other, _ in self.series))

    def explain_a_day_behind(self, country, day, report, series, text):
        self.assertEqual(report, self.series[country, day - DAY])

    def explain_a_day_ahead(self, country, day, report, series, text):
        self.assertEqual(report, self.series[country, day + DAY])

    def explain_not_updated(self, country, day, report, series, text):
        self.assertEqual(report, self.report(country, day - DAY))
        self.assertNotEqual(series, self.series[country, day - DAY])

    def explain_closed_early(self, country, day, report, series, text):
        self.assertLess(self.series[country, day - DAY], report)
        self.assertLess(report, series)

    def explain_counted_elsewhere(self, country, day, report, series, text):
        counted = sum(count for _, province, count in self.published.places[country, day]
                      if province is not None and text in province)
        self.assertGreater(counted, 0)
        self.assertEqual(report - counted, series)

    def explain_counted_twice(self, country, day, report, series, text):
        for name in text.split(" + "):
            rows = self.published.places[country, day]
            twice = [place for place in rows if place[1] == name] or [place for place in rows if place[0] == name]
            self.assertEqual(len(twice), 1, twice)
            report -= twice[0][2]
        self.assertEqual(report, series)

    def explain_left_out(self, country, day, report, series, text):
        for name in text.split(" + "):
            self.assertFalse([place for place in self.published.places[country, day] if place[1] == name])
            report += self.series_provinces[country, day][name]
        self.assertEqual(report, series)

    def explain_corrected_later(self, country, day, report, series, text):
        """The source says so in its README or Errata.csv, or nothing of the two tells why."""
        self.assertIsNotNone(report)
        self.assertIsNotNone(series)
        self.assertRegex(text, r"^(README \w+ \d+|README and Errata|Errata \d+/\d+/20|"
                               r"in one of the two|the report says 0)")

    def test_countries_have_one_name(self):
        self.assertEqual(self.features.returncode, 0, self.features.stderr)
        found = {(row["country"], datetime.date.fromisoformat(row["day"][:10])): row["confirmed"] for row in
                 query(f"SELECT country, day, confirmed FROM {self.published.source('covid_countries')}")}
        self.assertEqual(found, self.published.totals)

    def test_features(self):
        """The sums over windows as differences of cumulative totals: no window function, no sum."""
        days_of = defaultdict(list)
        for country, day in sorted(self.published.totals):
            days_of[country].append(day)
        rows = query(f"SELECT * FROM {self.published.source('covid_features')}")
        self.assertEqual(len(rows), len(self.published.totals))
        grown = 0
        for row in rows:
            country, day = row["country"], datetime.date.fromisoformat(row["day"][:10])
            week, week_days = self.added(country, days_of[country], day, 7)
            fortnight, fortnight_days = self.added(country, days_of[country], day, 14)
            self.assertAlmostEqual(row["new_mean_7d"], week / week_days, places=9, msg=(country, day))
            growth = None
            if fortnight_days >= 14 and fortnight_days > week_days and fortnight > week:
                growth = week / week_days / ((fortnight - week) / (fortnight_days - week_days))
                grown += 1
            self.assertEqual(row["growth_7d"] is None, growth is None, (country, day))
            if growth is not None:
                self.assertAlmostEqual(row["growth_7d"], growth, delta=1e-9 * max(1, abs(growth)), msg=(country, day))
        self.assertGreater(grown, 10000)

    def added(self, country, days, day, window):
        """(new cases, days covered) by the reports of the window that ends with a day."""
        first = min(other for other in days if day - DAY * window < other <= day)
        earlier = [other for other in days if other < first]
        if not earlier:
            return self.report(country, day), (day - first).days + 1
        return self.report(country, day) - self.report(country, earlier[-1]), (day - earlier[-1]).days


class Repair(Case):
    def test_a_repaired_report_is_all_that_runs_again(self):
        shutil.copy(os.path.join(SOURCE, "dags", "covid_daily.yaml"), self.project.path("dags"))
        os.makedirs(self.project.path("data", "jhu-covid-daily"))
        for day in (REFUSED - DAY, REFUSED, REFUSED + DAY):
            shutil.copy(report_path(day), self.project.path("data", "jhu-covid-daily"))
        run = ("run", "dags/covid_daily.yaml", "--from", str(REFUSED - DAY), "--to", str(REFUSED + DAY))
        first = self.project.command(*run)
        self.assertEqual(first.returncode, 6, first.stderr)
        self.assertIn("data/jhu-covid-daily/03-21-2020.csv:1:", first.stderr)
        before = contents(self.project.path("lake"))
        self.assertEqual(len(before), 2, sorted(before))

        path = self.project.path("data", "jhu-covid-daily", "03-21-2020.csv")
        os.chmod(path, 0o600)
        with open(path, "r+", encoding="utf-8", newline="") as file:
            ours = file.read().partition("<<<<<<< HEAD\n")[2].partition("=======\n")[0]
            file.seek(0)
            file.truncate()
            file.write(ours)
        again = self.project.command(*run)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(re.findall(r"backfill__(\S+)T", again.stderr), [str(REFUSED)], again.stderr)
        after = contents(self.project.path("lake"))
        repaired = after.pop(os.path.join("covid_reports", f"dt={REFUSED}"))
        self.assertEqual(repaired["rows"], len(ours.splitlines()) - 1)
        self.assertEqual(after, before)


if __name__ == "__main__":
    if not os.path.isdir(REPORTS):
        skip_all(f"the daily reports are not there ({REPORTS})")
    unittest.main()
