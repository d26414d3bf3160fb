/* churn-data: the raw input of the example pipeline, made from a seed.
 *
 *   churn-data --out raw --days 120 --start 2026-01-01 --events 2200000 --seed 7
 *
 * Users sign up, log in and buy at very different rates, and some stop for good. Their events come
 * as CSV, a folder per day of delivery, with all the dirt of real feeds: late rows, rows sent twice
 * (the same, or corrected later), rows that can't be read, a column that is renamed half-way, DOS
 * line ends, a compressed day. How much of each there is stands in <out>/expected.json.
 *
 * The same arguments give the same bytes on every machine: all randomness comes from the seed, and
 * all arithmetic is on integers or on doubles with + - * / alone. */
#include "base/buf.h"
#include "base/fs.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define US_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)
#define LATE_DAYS_MAX 3
#define DAY_SIZE 40
#define PARTS 2
#define CRLF_EVERY 7 /* days */

/* Of 100,000 events. */
#define LATE_RATE 1500
#define EXACT_RATE 500
#define CONFLICT_RATE 400
#define BAD_RATE 300

enum feed { PURCHASES, LOGINS, FEED_COUNT };
enum bad { BAD_AMOUNT, BAD_USER, BAD_TIME, BAD_COLUMNS, BAD_COUNT };

static const char *const feed_names[FEED_COUNT] = {"purchases", "logins"};
static const char *const bad_names[BAD_COUNT] = {"amount", "user_id", "timestamp", "column_count"};

struct options {
    const char *out;
    int64_t days;
    int64_t start_day; /* since 1970 */
    int64_t events;
    int64_t users;
    uint64_t seed;
};

/* xoshiro256**, seeded through splitmix64 (Blackman and Vigna, public domain). */
struct random {
    uint64_t s[4];
};

static void random_init(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        random->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotate(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

static uint64_t random_next(struct random *random)
{
    uint64_t *s = random->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

/* 0 ≤ result < bound; the bias of the remainder is of no weight here. */
static int64_t random_below(struct random *random, int64_t bound)
{
    return (int64_t)(random_next(random) % (uint64_t)bound);
}

/* 0 ≤ result < 1. */
static double random_unit(struct random *random)
{
    return (double)(random_next(random) >> 11) / 9007199254740992.0;
}

/* e^-x for 0 ≤ x ≤ 16 to about 1 %, without libm, whose last digits differ between versions. */
static double decay(double x)
{
    double value = 1 - x / 16384;

    for (int i = 0; i < 14; i++)
        value *= value;
    return value;
}

/* How often something happens that happens `mean` times on average (Knuth). */
static int poisson_small(struct random *random, double mean)
{
    double limit = decay(mean);
    double product = random_unit(random);
    int count = 0;

    for (; product > limit; count++)
        product *= random_unit(random);
    return count;
}

static int poisson(struct random *random, double mean)
{
    int count = 0;

    for (; mean > 16; mean -= 16)
        count += poisson_small(random, 16);
    return count + poisson_small(random, mean);
}

struct user {
    int64_t signup_day; /* from 0; negative: before the data begin */
    int64_t last_day;   /* the last day with events */
    double logins;      /* a day, on average */
    double purchases;
};

/* What was planted, of one day or of all. */
struct counts {
    int64_t rows; /* lines without headers */
    int64_t good; /* distinct events that can be read */
    int64_t late; /* of the good ones */
    int64_t exact;
    int64_t conflicting;
    int64_t bad[BAD_COUNT];
};

struct generator {
    const struct options *options;
    struct random random;
    struct user *users;
    int64_t churners;
    int64_t next_id[FEED_COUNT];
    struct buf parts[LATE_DAYS_MAX + 1][FEED_COUNT]
                    [PARTS]; /* of the days being filled, as a ring */
    struct counts (*days)[FEED_COUNT];
    int64_t crlf_files;
    int64_t gzip_files;
    int64_t renamed_files;
};

/* An event as it is about to be written. */
struct event {
    enum feed feed;
    int64_t id;
    int64_t user;
    int64_t second;   /* since 1970 */
    int64_t ingested; /* likewise */
    int64_t cents;
    int choice; /* currency or device */
    int64_t folder_day;
};

static bool is_active(const struct user *user, int64_t day)
{
    return day >= user->signup_day && day <= user->last_day;
}

/* A third of the users stop some day. Rates are skewed: few users do most, as is usual. */
static void make_users(struct generator *g)
{
    const struct options *o = g->options;
    double total = 0;

    g->users = mem_alloc_array((size_t)o->users, sizeof(*g->users));
    for (int64_t i = 0; i < o->users; i++) {
        struct user *user = &g->users[i];
        double rate = 1 / (0.15 + random_unit(&g->random));
        user->signup_day = random_below(&g->random, 10) < 7 ? -1 - random_below(&g->random, 300)
                                                            : random_below(&g->random, o->days);
        user->last_day = o->days;
        if (random_below(&g->random, 3) == 0) {
            int64_t from = user->signup_day < 0 ? 0 : user->signup_day;
            user->last_day = from + random_below(&g->random, o->days - from);
            g->churners++;
        }
        int64_t from = user->signup_day < 0 ? 0 : user->signup_day;
        int64_t to = user->last_day < o->days ? user->last_day : o->days - 1;
        user->logins = rate * 0.7;
        user->purchases = rate * 0.3 * (0.2 + 1.6 * random_unit(&g->random));
        total += (user->logins + user->purchases) * (double)(to - from + 1);
    }
    double scale = (double)o->events / total;
    for (int64_t i = 0; i < o->users; i++) {
        g->users[i].logins *= scale;
        g->users[i].purchases *= scale;
    }
}

static void add_time(struct buf *out, int64_t second)
{
    struct civil civil = civil_from_us(second * US_PER_SECOND);

    buf_printf(out, "%04d-%02d-%02d %02d:%02d:%02d", (int)civil.year, civil.month, civil.day,
               civil.hour, civil.minute, civil.second);
}

/* One line; `bad` says which field is spoiled, BAD_COUNT none. */
static void add_line(struct buf *out, const struct event *event, enum bad bad, int64_t variant)
{
    static const char *const currencies[] = {"EUR", "EUR", "EUR", "USD", "GBP"};
    static const char *const devices[] = {"web", "android", "iphone", "\"tablet, 10 inch\"", "tv"};
    static const char *const amounts[] = {"N/A", "12,5O", "-", "1.2.3"};
    static const char *const times[] = {"yesterday", "2026-02-30 25:61:00", "0000-00-00", "ts"};

    buf_printf(out, "%c%09" PRId64 ",", event->feed == PURCHASES ? 'p' : 'l', event->id);
    if (bad != BAD_USER)
        buf_printf(out, "%" PRId64, event->user);
    buf_add_char(out, ',');
    if (bad == BAD_TIME)
        buf_add_text(out, times[variant]);
    else
        add_time(out, event->second);
    buf_add_char(out, ',');
    if (bad == BAD_COLUMNS && variant % 2 == 0) {
        buf_add_text(out, "cut\n"); /* too few columns */
        return;
    }
    if (event->feed == PURCHASES && bad == BAD_AMOUNT)
        buf_printf(out, "\"%s\",", amounts[variant]);
    else if (event->feed == PURCHASES)
        buf_printf(out, "%" PRId64 ".%02d,", event->cents / 100, (int)(event->cents % 100));
    buf_printf(out, "%s,",
               event->feed == PURCHASES ? currencies[event->choice] : devices[event->choice]);
    add_time(out, event->ingested);
    buf_add_text(out, bad == BAD_COLUMNS ? ",too,many\n" : "\n");
}

static struct buf *part_of(struct generator *g, const struct event *event)
{
    int64_t slot = event->folder_day % (LATE_DAYS_MAX + 1);

    return &g->parts[slot][event->feed][random_below(&g->random, PARTS)];
}

/* The event that was corrected: sent again, later, with another value. */
static void add_conflict(struct generator *g, const struct event *event)
{
    struct event corrected = *event;

    corrected.ingested += 60 + random_below(&g->random, 3600);
    corrected.cents = event->cents + 1 + random_below(&g->random, 500);
    corrected.choice = (event->choice + 1) % 5;
    add_line(part_of(g, event), &corrected, BAD_COUNT, 0);
}

static void emit(struct generator *g, const struct event *event, int64_t event_day)
{
    struct counts *counts = &g->days[event->folder_day][event->feed];
    int64_t fate = random_below(&g->random, 100000);
    int64_t variant = random_below(&g->random, 4);

    counts->rows++;
    if (fate < BAD_RATE) {
        enum bad bad = (enum bad)(fate % BAD_COUNT);
        if (event->feed == LOGINS && bad == BAD_AMOUNT)
            bad = BAD_COLUMNS;
        counts->bad[bad]++;
        add_line(part_of(g, event), event, bad, variant);
        return;
    }
    counts->good++;
    counts->late += event->folder_day != event_day;
    add_line(part_of(g, event), event, BAD_COUNT, 0);
    if (fate >= 100000 - EXACT_RATE) {
        add_line(part_of(g, event), event, BAD_COUNT, 0);
        counts->exact++;
        counts->rows++;
    } else if (fate >= 100000 - EXACT_RATE - CONFLICT_RATE) {
        add_conflict(g, event);
        counts->conflicting++;
        counts->rows++;
    }
}

static void make_event(struct generator *g, enum feed feed, int64_t user, int64_t day)
{
    const struct options *o = g->options;
    int64_t delay = 0;
    struct event event = {.feed = feed, .id = ++g->next_id[feed], .user = user + 1};

    if (random_below(&g->random, 100000) < LATE_RATE)
        delay = 1 + random_below(&g->random, LATE_DAYS_MAX);
    event.folder_day = day + delay < o->days ? day + delay : day;
    event.second =
        (o->start_day + day) * SECONDS_PER_DAY + random_below(&g->random, SECONDS_PER_DAY);
    event.ingested = event.second + 1 + random_below(&g->random, 600) +
                     (event.folder_day - day) * SECONDS_PER_DAY;
    /* The product of two draws is small more often than large: most purchases are. */
    event.cents = 99 + random_below(&g->random, 200) * random_below(&g->random, 300);
    event.choice = (int)random_below(&g->random, 5);
    emit(g, &event, day);
}

static void make_day(struct generator *g, int64_t day)
{
    for (int64_t i = 0; i < g->options->users; i++) {
        const struct user *user = &g->users[i];
        if (!is_active(user, day))
            continue;
        for (int n = poisson(&g->random, user->logins); n > 0; n--)
            make_event(g, LOGINS, i, day);
        for (int n = poisson(&g->random, user->purchases); n > 0; n--)
            make_event(g, PURCHASES, i, day);
    }
}

static void day_name(const struct options *o, int64_t day, char out[DAY_SIZE])
{
    struct civil civil = civil_from_us((o->start_day + day) * SECONDS_PER_DAY * US_PER_SECOND);

    (void)snprintf(out, DAY_SIZE, "%04d-%02d-%02d", (int)civil.year, civil.month, civil.day);
}

static bool write_gzip(const char *path, struct str text, struct err *err)
{
    gzFile file = gzopen(path, "wb6");

    if (file == NULL)
        return err_errno(err, "%s", path);
    bool ok = gzwrite(file, text.ptr, (unsigned)text.len) == (int)text.len;
    ok = gzclose(file) == Z_OK && ok;
    return ok || err_set(err, ERR_IO, "%s: writing failed", path);
}

static bool write_plain(const char *path, struct str text, struct err *err)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL)
        return err_errno(err, "%s", path);
    bool ok = fwrite(text.ptr, 1, text.len, file) == text.len;
    ok = fclose(file) == 0 && ok;
    return ok || err_errno(err, "%s", path);
}

static void add_crlf(struct buf *out, struct str text)
{
    size_t from = 0;

    for (size_t end = str_find(text, '\n', 0); end != SIZE_MAX; end = str_find(text, '\n', from)) {
        buf_add_str(out, str_sub(text, from, end));
        buf_add_text(out, "\r\n");
        from = end + 1;
    }
}

static const char *header(const struct options *o, enum feed feed, int64_t day)
{
    if (feed == LOGINS)
        return "event_id,user_id,event_ts,device,ingest_ts\n";
    return day < o->days / 2 ? "event_id,uid,event_ts,amount,currency,ingest_ts\n"
                             : "event_id,user_id,event_ts,amount,currency,ingest_ts\n";
}

static bool write_part(struct generator *g, enum feed feed, int64_t day, int part, struct err *err)
{
    const struct options *o = g->options;
    struct buf *rows = &g->parts[day % (LATE_DAYS_MAX + 1)][feed][part];
    struct buf text = {0};
    struct buf dos = {0};
    struct buf path = {0};
    char name[DAY_SIZE];
    bool is_gzip = day == o->days / 3;
    bool is_dos = day % CRLF_EVERY == 3 && part == 1;

    day_name(o, day, name);
    buf_printf(&path, "%s/%s/dt=%s", o->out, feed_names[feed], name);
    bool ok = fs_make_folders(buf_text(&path), 0755, err);
    buf_printf(&path, "/part-%d.csv%s", part, is_gzip ? ".gz" : "");
    buf_add_text(&text, header(o, feed, day));
    buf_add_str(&text, buf_str(rows));
    if (is_dos)
        add_crlf(&dos, buf_str(&text));
    struct str content = buf_str(is_dos ? &dos : &text);
    ok = ok && (is_gzip ? write_gzip(buf_text(&path), content, err)
                        : write_plain(buf_text(&path), content, err));
    g->crlf_files += is_dos;
    g->gzip_files += is_gzip;
    g->renamed_files += feed == PURCHASES && day < o->days / 2;
    buf_clear(rows);
    buf_release(&text);
    buf_release(&dos);
    buf_release(&path);
    return ok;
}

static bool write_day(struct generator *g, int64_t day, struct err *err)
{
    for (enum feed feed = PURCHASES; feed < FEED_COUNT; feed++)
        for (int part = 0; part < PARTS; part++)
            if (!write_part(g, feed, day, part, err))
                return false;
    return true;
}

static void write_counts(struct jw *w, const struct counts *counts)
{
    int64_t bad = 0;

    for (int i = 0; i < BAD_COUNT; i++)
        bad += counts->bad[i];
    jw_begin_object(w);
    jw_kv_int(w, "rows", counts->rows);
    jw_kv_int(w, "good", counts->good);
    jw_kv_int(w, "late", counts->late);
    jw_kv_int(w, "duplicates", counts->exact + counts->conflicting);
    jw_kv_int(w, "exact_duplicates", counts->exact);
    jw_kv_int(w, "conflicting_duplicates", counts->conflicting);
    jw_kv_int(w, "bad", bad);
    jw_key(w, "bad_by_kind");
    jw_begin_object(w);
    for (int i = 0; i < BAD_COUNT; i++)
        jw_kv_int(w, bad_names[i], counts->bad[i]);
    jw_end_object(w);
    jw_end_object(w);
}

static void add_counts(struct counts *sum, const struct counts *counts)
{
    sum->rows += counts->rows;
    sum->good += counts->good;
    sum->late += counts->late;
    sum->exact += counts->exact;
    sum->conflicting += counts->conflicting;
    for (int i = 0; i < BAD_COUNT; i++)
        sum->bad[i] += counts->bad[i];
}

/* What says which data these are; compared with an older expected.json. */
static void write_arguments(struct jw *w, const struct options *o)
{
    char start[DAY_SIZE];

    day_name(o, 0, start);
    jw_key(w, "arguments");
    jw_begin_object(w);
    jw_kv_int(w, "days", o->days);
    jw_kv_string(w, "start", start);
    jw_kv_int(w, "events", o->events);
    jw_kv_int(w, "users", o->users);
    jw_kv_int(w, "seed", (int64_t)o->seed);
    jw_end_object(w);
}

static void write_totals(struct jw *w, const struct generator *g)
{
    for (enum feed feed = PURCHASES; feed < FEED_COUNT; feed++) {
        struct counts sum = {0};
        for (int64_t day = 0; day < g->options->days; day++)
            add_counts(&sum, &g->days[day][feed]);
        jw_key(w, feed_names[feed]);
        write_counts(w, &sum);
    }
}

static bool write_expected(const struct generator *g, const char *path, struct err *err)
{
    struct buf text = {0};
    struct jw w = {.out = &text};
    char name[DAY_SIZE];

    jw_begin_object(&w);
    write_arguments(&w, g->options);
    jw_kv_int(&w, "churners", g->churners);
    jw_kv_int(&w, "crlf_files", g->crlf_files);
    jw_kv_int(&w, "gzip_files", g->gzip_files);
    jw_kv_int(&w, "renamed_files", g->renamed_files);
    write_totals(&w, g);
    jw_key(&w, "by_day");
    jw_begin_object(&w);
    for (int64_t day = 0; day < g->options->days; day++) {
        day_name(g->options, day, name);
        jw_key(&w, name);
        jw_begin_object(&w);
        for (enum feed feed = PURCHASES; feed < FEED_COUNT; feed++) {
            jw_key(&w, feed_names[feed]);
            write_counts(&w, &g->days[day][feed]);
        }
        jw_end_object(&w);
    }
    jw_end_object(&w);
    jw_end_object(&w);
    buf_add_char(&text, '\n');
    bool ok = fs_write_file(path, buf_str(&text), 0644, err);
    buf_release(&text);
    return ok;
}

static void generator_release(struct generator *g)
{
    for (int slot = 0; slot <= LATE_DAYS_MAX; slot++)
        for (int feed = 0; feed < FEED_COUNT; feed++)
            for (int part = 0; part < PARTS; part++)
                buf_release(&g->parts[slot][feed][part]);
    free(g->users);
    free(g->days);
}

static bool generate(const struct options *options, const char *expected_path, struct err *err)
{
    struct generator g = {.options = options};
    bool ok = true;

    random_init(&g.random, options->seed);
    g.days = mem_alloc_array((size_t)options->days, sizeof(*g.days));
    make_users(&g);
    for (int64_t day = 0; ok && day < options->days; day++) {
        make_day(&g, day);
        ok = write_day(&g, day, err);
    }
    ok = ok && write_expected(&g, expected_path, err);
    generator_release(&g);
    return ok;
}

/* Files of other arguments in the same folder would be taken for these: they are not touched. */
static bool check_folder(const struct options *options, const char *expected_path, struct err *err)
{
    struct buf old = {0};
    struct buf arguments = {0};
    struct jw w = {.out = &arguments};

    jw_begin_object(&w);
    write_arguments(&w, options);
    bool ok = fs_read_file(expected_path, 64u << 20, &old, err);
    if (ok && !str_starts(buf_str(&old), buf_str(&arguments)))
        ok = err_set(err, ERR_CONFLICT, "%s holds data made with other arguments: delete it first",
                     options->out);
    else if (!ok && err->code == ERR_NOT_FOUND)
        ok = true;
    buf_release(&old);
    buf_release(&arguments);
    return ok;
}

static const char usage[] =
    "Usage: churn-data --out FOLDER [--days N] [--start DATE] [--events N] [--users N] [--seed N]\n"
    "\n"
    "Makes the raw events of the example pipeline: FOLDER/purchases/dt=DATE/part-N.csv and\n"
    "FOLDER/logins/dt=DATE/part-N.csv, and FOLDER/expected.json with what was planted in them.\n"
    "The same arguments give the same bytes.\n"
    "\n"
    "  --days N      days of data (120)\n"
    "  --start DATE  the first day (2026-01-01)\n"
    "  --events N    about how many events in all (2200000)\n"
    "  --users N     users (events / 110)\n"
    "  --seed N      where the randomness comes from (7)\n";

static bool parse_number(const char *name, const char *text, int64_t max, int64_t *ret)
{
    int64_t value;

    if (!str_to_int(str_from(text), &value) || value < 1 || value > max) {
        (void)fprintf(stderr, "churn-data: --%s takes a number from 1 to %" PRId64 ", not `%s`\n",
                      name, max, text);
        return false;
    }
    *ret = value;
    return true;
}

static bool parse_date(const char *text, int64_t *ret_day)
{
    bool has_offset;
    int64_t us;

    if (strlen(text) != 10 || !timefmt_parse(str_from(text), &us, &has_offset)) {
        (void)fprintf(stderr, "churn-data: --start takes a date as 2026-01-01, not `%s`\n", text);
        return false;
    }
    *ret_day = us / US_PER_SECOND / SECONDS_PER_DAY;
    return true;
}

static bool parse_option(int option, const char *text, struct options *o)
{
    int64_t seed;

    if (option == 'o') {
        o->out = text;
        return true;
    }
    if (option == 's') {
        if (!parse_number("seed", text, INT64_MAX, &seed))
            return false;
        o->seed = (uint64_t)seed;
        return true;
    }
    if (option == 't')
        return parse_date(text, &o->start_day);
    if (option == 'd')
        return parse_number("days", text, 3660, &o->days);
    if (option == 'u')
        return parse_number("users", text, 10000000, &o->users);
    return parse_number("events", text, 999999999, &o->events);
}

/* 0 = go on, else the exit code plus one. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option long_options[] = {
        {"out",    required_argument, NULL, 'o'},
        {"days",   required_argument, NULL, 'd'},
        {"start",  required_argument, NULL, 't'},
        {"events", required_argument, NULL, 'e'},
        {"users",  required_argument, NULL, 'u'},
        {"seed",   required_argument, NULL, 's'},
        {"help",   no_argument,       NULL, 'h'},
        {NULL,     0,                 NULL, 0  },
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            (void)fputs(usage, stdout);
            return 1;
        }
        if (option == '?' || !parse_option(option, optarg, o))
            return 3;
    }
    if (o->out == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        return 3;
    }
    if (o->users == 0)
        o->users = o->events < 1100 ? 10 : o->events / 110;
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.days = 120, .events = 2200000, .seed = 7};
    struct err err = {0};

    options.start_day = civil_to_days(2026, 1, 1);
    int parsed = parse_options(argc, argv, &options);
    if (parsed != 0)
        return parsed - 1;
    char *expected_path = fs_join(options.out, "expected.json");
    bool ok =
        check_folder(&options, expected_path, &err) && generate(&options, expected_path, &err);
    free(expected_path);
    if (ok)
        return 0;
    (void)fprintf(stderr, "churn-data: %s\n", err.message);
    return err_exit_code(err.code);
}
