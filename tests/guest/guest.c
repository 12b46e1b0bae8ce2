/*
 * wherry-guest: a tiny guest that dirties memory at a known rate and checks all the time that no page of it is
 * wrong or out of date. For tests and benchmarks of live migration.
 *
 * Run it:    qemu-system-x86_64 -kernel wherry-guest.elf -append 'pages=16384 rate=30000' -serial file:LOG
 * On s390x and ppc64 it is the same; what differs between the machines is in one file each (machine.h).
 *
 * Command line (KEY=VALUE, separated by blanks; an unknown key or a bad value stops the guest with an error line):
 *   pages=N    working set in pages of 4 KiB                                         (default 4096)
 *   rate=N     page touches a second; pages are picked at random; 0 = none            (default 0)
 *   bytes=N    bytes rewritten by a touch: a power of two, 8 to 4096 (whole page)      (default 64)
 *              The page's 4-byte version changes with every touch as well.
 *   mix=K:P,…  kinds of content and their percent, together 100                       (default text:60,random:40)
 *                text    words; zstd packs 128 pages at once about 3.4:1, a single page 2:1
 *                random  does not compress
 *                zero    all zero; a touch dirties it and leaves it zero
 *                flip    a touch turns the whole page from zero to text, the next one back to zero
 *   verify=N   pages checked a second at most; the guest sleeps when nothing is due   (default: all spare time,
 *              and no less than half of the time when the touches cannot keep up; keeps a host core busy)
 *   burst=ON:OFF       touches for ON milliseconds, then none for OFF, over and over   (default: always)
 *   grow=FROM:SECONDS  touches go to the first FROM pages only; SECONDS later, growing evenly, to all of them
 *                                                                                    (default: to all at once)
 *   seed=N     other content and other page picks                                     (default 1)
 *
 * Console (the first -serial), whole lines:
 *   wherry-guest ready                          once, when the working set is filled
 *   tick=N touched=N verified=N bad=N           once a second of guest time; all counters are cumulative
 *   BAD page=N expected=V found=F               a page is wrong. V is the version (number of touches) it should
 *                                               have. F is what is there: a version = that version, intact, so the
 *                                               page is stale (F == V: was wrong, but a touch has written over it);
 *                                               'zero' = all zero; 'corrupt' = none of these; 'record' = the two
 *                                               records kept of the page differ.
 *   BAD image                                   the guest's own code has changed
 *   wherry-guest error: TEXT                    it stops there
 * A bad page is counted, then repaired, so each fault counts once. At most 64 BAD lines are printed between ticks.
 *
 * A page that is not all zero starts with four u32 in the machine's byte order: page number ^ 0x59524857, version, kind (0 text, 1
 * random, 3 flip), seed. The working set is one piece of physical memory, page 0 first.
 *
 * How: the content of a page is a function of seed, page number and version. The version and a sum over the page are
 * kept away from it in two records, one before and one behind the working set. A touch updates the sum by the difference
 * to what the page really held, so damage that is written over still shows. The time base is a clock of the machine's that
 * goes on across a migration and needs no interrupt.
 */
#include "machine.h"

enum { PAGE = 4096, WORDS = PAGE / 4, HEADER_WORDS = 4 };
enum kind { TEXT, RANDOM, ZERO, FLIP, KINDS };
static const char *const kind_names[KINDS] = {"text", "random", "zero", "flip"};

static u32 pages = 4096, bytes = 64, seed = 1;
static u32 kind_percent[KINDS] = {60, 40, 0, 0};
static u64 touched, verified, bad;

/* ---- console ---- */

static void put(const char *s)
{
    for (; *s; s++)
        put_char(*s);
}

static void put_number(u64 n)
{
    char digits[21], *p = digits + sizeof digits - 1;
    *p = 0;
    do {
        u32 rest, high = divide(n >> 32, 10, &rest), low = divide((u64)rest << 32 | (u32)n, 10, &rest);
        n = (u64)high << 32 | low;
        *--p = '0' + rest;
    } while (n);
    put(p);
}

static void put_field(const char *name, u64 n)
{
    put(name);
    put_number(n);
}

void fail(const char *why, const char *what)
{
    put("wherry-guest error: ");
    put(why);
    for (; *what && *what != ' '; what++)
        put_char(*what);
    put("\n");
    halt();
}

/* ---- content of pages ---- */

static u32 scramble(u32 x)
{
    x = (x ^ x >> 16) * 0x7feb352d;
    x = (x ^ x >> 15) * 0x846ca68b;
    return x ^ x >> 16;
}

static u64 next_random(u64 *state)
{
    u64 x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    return *state = x ^ x << 17;
}

enum { DICTIONARY = 2048 };
static u32 dictionary[DICTIONARY][2]; /* words of 8 letters */

static void make_dictionary(void)
{
    static const char letters[] = "eeeeetttaaaooiinnsshhrrdlucmfwyp";
    u64 state = 0x9e3779b97f4a7c15ull;
    for (u32 i = 0; i < DICTIONARY; i++) {
        u64 r = next_random(&state);
        char *word = (char *)dictionary[i];
        for (u32 j = 0; j < 7; j++, r >>= 5)
            word[j] = letters[r & 31];
        word[7 - (r & 3)] = ' '; /* so the words differ in length */
        word[7] = ' ';
    }
}

static u32 page_hash(u32 n) { return scramble(n ^ scramble(seed)); }

static enum kind kind_of(u32 n)
{
    u32 percent;
    divide(page_hash(n), 100, &percent);
    for (u32 kind = 0; kind < KINDS; kind++) {
        if (percent < kind_percent[kind])
            return kind;
        percent -= kind_percent[kind];
    }
    return TEXT;
}

static int is_zero(enum kind kind, u32 version) { return kind == ZERO || (kind == FLIP && version % 2 == 0); }

/*
 * A page is made of slots of `bytes` bytes. Touch number v rewrites slot (5v + hash) mod slots, so each slot in turn;
 * which touch wrote a slot last then follows from the page's version alone. A flip page is one slot.
 */
static u32 words_of_slot(enum kind kind) { return kind == FLIP ? WORDS : bytes / 4; }
static u32 slot_of_version(u32 n, u32 version, u32 slots) { return (5 * version + page_hash(n)) & (slots - 1); }
static u32 version_of_slot(u32 n, u32 version, u32 slot, u32 slots)
{
    const u32 inverse_of_5 = 0xcccccccd;
    u32 age = (version - (slot - page_hash(n)) * inverse_of_5) & (slots - 1);
    return age < version ? version - age : 0;
}

static void make_slot(u32 *out, u32 words, enum kind kind, u32 n, u32 version, u32 slot)
{
    u32 low = scramble(page_hash(n) + slot * 0x9e3779b9);
    u64 state = (u64)scramble(version ^ low) << 32 | low | 1;
    if (kind == RANDOM) {
        for (u32 i = 0; i < words; i += 2) {
            u64 r = next_random(&state);
            out[i] = r;
            out[i + 1] = r >> 32;
        }
        return;
    }
    next_random(&state);
    for (u32 i = 0; i < words;) {
        u64 r = next_random(&state);
        for (u32 j = 0; j < 4 && i < words; j++, i += 2, r >>= 16) {
            const u32 *word = dictionary[r % DICTIONARY];
            out[i] = word[0];
            out[i + 1] = word[1];
        }
    }
}

static u32 header_word(u32 i, u32 n, u32 version, enum kind kind)
{
    return i == 0 ? n ^ 0x59524857 /* "WHRY" */ : i == 1 ? version : i == 2 ? (u32)kind : seed;
}

static void make_page(u32 *out, u32 n, u32 version)
{
    enum kind kind = kind_of(n);
    u32 words = words_of_slot(kind), slots = WORDS / words;
    if (is_zero(kind, version)) {
        for (u32 i = 0; i < WORDS; i++)
            out[i] = 0;
        return;
    }
    for (u32 slot = 0; slot < slots; slot++)
        make_slot(out + slot * words, words, kind, n, version_of_slot(n, version, slot, slots), slot);
    for (u32 i = 0; i < HEADER_WORDS; i++)
        out[i] = header_word(i, n, version, kind);
}

/* ---- the working set and its records ---- */

struct sum { u32 plain, weighted; };
struct record { u32 version; struct sum sum; };

static volatile u32 (*memory)[WORDS];
static volatile struct record *records, *records2; /* before and behind the working set; the second one inverted */
static u32 scratch[WORDS];

static struct sum sum_page(const volatile u32 *page)
{
    u32 plain = 0, weighted = 0;
    for (u32 i = 0; i < WORDS; i += 4) {
        u32 a = page[i], b = page[i + 1], c = page[i + 2], d = page[i + 3], four = a + b + c + d;
        plain += four;
        weighted += (2 * i + 1) * four + 2 * (b + 2 * c + 3 * d); /* the sum of (2i + 1) * page[i] */
    }
    return (struct sum){plain, weighted};
}

static void put_word(u32 n, u32 i, u32 word, struct sum *sum)
{
    u32 change = word - memory[n][i];
    memory[n][i] = word;
    sum->plain += change;
    sum->weighted += (2 * i + 1) * change;
}

static struct record load_record(u32 n)
{
    return (struct record){records[n].version, {records[n].sum.plain, records[n].sum.weighted}};
}

static struct record load_record2(u32 n)
{
    return (struct record){~records2[n].version, {~records2[n].sum.plain, ~records2[n].sum.weighted}};
}

static void store_record(u32 n, struct record r)
{
    records[n].version = r.version;
    records[n].sum.plain = r.sum.plain;
    records[n].sum.weighted = r.sum.weighted;
    records2[n].version = ~r.version;
    records2[n].sum.plain = ~r.sum.plain;
    records2[n].sum.weighted = ~r.sum.weighted;
}

static int same_sum(struct sum a, struct sum b) { return a.plain == b.plain && a.weighted == b.weighted; }
static int same_record(struct record a, struct record b) { return a.version == b.version && same_sum(a.sum, b.sum); }

static void write_page(u32 n, u32 version)
{
    make_page(scratch, n, version);
    for (u32 i = 0; i < WORDS; i++)
        memory[n][i] = scratch[i];
    store_record(n, (struct record){version, sum_page(scratch)});
}

static void set_up_memory(unsigned long end)
{
    extern u8 free_memory[];
    unsigned long start = (unsigned long)free_memory, record_pages = (pages * sizeof(struct record) + PAGE - 1) / PAGE;
    if (end <= start || (end - start) / PAGE < pages + 2 * record_pages)
        fail("not enough memory for the working set", "");
    records = (void *)start;
    memory = (void *)(start + record_pages * PAGE);
    records2 = (void *)(memory + pages);
    for (u32 n = 0; n < pages; n++)
        write_page(n, 0);
}

/* ---- touch ---- */

static u32 hot_pages; /* the first ones; touches stay in them */

static void touch(void)
{
    static u64 state;
    if (!state)
        state = (u64)scramble(seed) << 32 | 0x2545f491;
    u32 n = (next_random(&state) >> 32) * hot_pages >> 32;
    enum kind kind = kind_of(n);
    struct record record = load_record(n);
    u32 version = ++record.version, words = words_of_slot(kind), slots = WORDS / words;
    u32 slot = slot_of_version(n, version, slots), first = slot * words;

    if (kind == ZERO) {
        put_word(n, first, 0, &record.sum);
    } else if (kind == FLIP) {
        make_page(scratch, n, version);
        for (u32 i = 0; i < WORDS; i++)
            put_word(n, i, scratch[i], &record.sum);
    } else {
        make_slot(scratch, words, kind, n, version, slot);
        for (u32 i = first < HEADER_WORDS ? HEADER_WORDS : first; i < first + words; i++)
            put_word(n, i, scratch[i - first], &record.sum);
        put_word(n, 1, version, &record.sum);
    }
    store_record(n, record);
    touched++;
}

/* ---- verify ---- */

static u32 lines_left;

static int holds_version(u32 n, u32 version)
{
    make_page(scratch, n, version);
    for (u32 i = 0; i < WORDS; i++)
        if (memory[n][i] != scratch[i])
            return 0;
    return 1;
}

static int holds_zero(u32 n)
{
    for (u32 i = 0; i < WORDS; i++)
        if (memory[n][i])
            return 0;
    return 1;
}

static void report_page(u32 n, u32 expected, int records_differ)
{
    bad++;
    if (lines_left) {
        lines_left--;
        put_field("BAD page=", n);
        put_field(" expected=", expected);
        if (records_differ)
            put(" found=record");
        else if (holds_zero(n) && !is_zero(kind_of(n), expected))
            put(" found=zero");
        else if (holds_version(n, memory[n][1]))
            put_field(" found=", memory[n][1]);
        else if (holds_version(n, expected))
            put_field(" found=", expected);
        else
            put(" found=corrupt");
        put("\n");
    }
    write_page(n, expected);
}

static void verify_image(void)
{
    extern const u32 image_start[], image_end[];
    static u32 first_sum;
    u32 sum = 1;
    for (const u32 *p = image_start; p < image_end; p++)
        sum = sum * 31 + *p;
    if (first_sum && sum != first_sum) {
        bad++;
        put("BAD image\n");
    }
    first_sum = sum;
}

static void verify(void)
{
    static u32 next;
    u32 n = next;
    struct record record = load_record(n), record2 = load_record2(n);
    if (!same_record(record, record2))
        report_page(n, record.version > record2.version ? record.version : record2.version, 1);
    else if (!same_sum(record.sum, sum_page(memory[n])))
        report_page(n, record.version, 0);
    verified++;
    if (++next == pages) {
        next = 0;
        verify_image();
    }
}

/* ---- work at a rate ---- */

enum { UNLIMITED = 0xffffffff, MAX_RATE = 100000000 };
struct job { void (*one)(void); u32 rate, due, rest; };
static struct job touching = {touch, 0, 0, 0}, verifying = {verify, UNLIMITED, 0, 0};
/* In ticks of the clock. As they are here: one burst without end, and all pages at once. */
static u32 burst_on = 1, burst_period = 1, grow_from = 0, grow_time = 1;

/* Adds what is due after `time`. What could not be done within a tenth of a second is given up. */
static void earn(struct job *job, u32 time)
{
    u32 most = job->rate / 10 + 1;
    if (job->rate != UNLIMITED)
        job->due += divide((u64)job->rate * time + job->rest, clock_hz, &job->rest);
    if (job->rate == UNLIMITED || job->due > most)
        job->due = most;
}

static void work(struct job *job)
{
    const u32 slice = clock_hz / 1000;
    u32 start = clock_now();
    do
        for (u32 i = 0; i < 16 && job->due; i++, job->due--)
            job->one();
    while (job->due && clock_since(start) < slice);
}

/* How much of the time that has passed lies in bursts. */
static u32 burst_time(u32 passed)
{
    static u32 phase;
    u32 before = phase < burst_on ? phase : burst_on;
    u32 periods = divide((u64)phase + passed, burst_period, &phase);
    return periods * burst_on + (phase < burst_on ? phase : burst_on) - before;
}

/* How many pages are touched by now. */
static u32 grown(u32 passed)
{
    static u32 elapsed;
    u32 rest;
    elapsed = passed < grow_time - elapsed ? elapsed + passed : grow_time;
    return grow_from + divide((u64)(pages - grow_from) * elapsed, grow_time, &rest);
}

static void __attribute__((noreturn)) run(void)
{
    u32 last = clock_now(), fraction = 0, tick = 0;
    for (;;) {
        u32 passed = clock_since(last);
        last += passed;
        hot_pages = grown(passed);
        earn(&touching, burst_time(passed));
        earn(&verifying, passed);
        fraction += passed;
        if (fraction >= clock_hz) {
            for (; fraction >= clock_hz; fraction -= clock_hz)
                tick++;
            put_field("tick=", tick);
            put_field(" touched=", touched);
            put_field(" verified=", verified);
            put_field(" bad=", bad);
            put("\n");
            lines_left = 64;
        }
        if (!touching.due && !verifying.due)
            sleep_a_little();
        work(&touching);
        work(&verifying);
    }
}

/* ---- command line ---- */

/* If *p starts with `word`, steps over it. */
static int take(const char **p, const char *word)
{
    const char *q = *p;
    for (; *word; word++, q++)
        if (*q != *word)
            return 0;
    *p = q;
    return 1;
}

static u32 take_number(const char **p, const char *option, u32 low, u32 high)
{
    u64 n = 0;
    const char *start = *p;
    for (; **p >= '0' && **p <= '9' && n <= high; ++*p)
        n = n * 10 + (**p - '0');
    if (*p == start || n < low || n > high)
        fail("bad number in ", option);
    return n;
}

static void take_mix(const char **p, const char *option)
{
    u32 total = 0;
    for (u32 kind = 0; kind < KINDS; kind++)
        kind_percent[kind] = 0;
    do {
        u32 kind = 0;
        while (kind < KINDS && !take(p, kind_names[kind]))
            kind++;
        if (kind == KINDS || !take(p, ":"))
            fail("bad kind in ", option);
        total += kind_percent[kind] = take_number(p, option, 0, 100);
    } while (take(p, ","));
    if (total != 100)
        fail("percentages are not 100 together in ", option);
}

static u32 take_milliseconds(const char **p, const char *option)
{
    u32 rest, n = take_number(p, option, 1, 100000);
    return divide((u64)n * clock_hz, 1000, &rest);
}

static void take_colon(const char **p, const char *option)
{
    if (!take(p, ":"))
        fail("no ':' in ", option);
}

static void take_burst(const char **p, const char *option)
{
    burst_on = take_milliseconds(p, option);
    take_colon(p, option);
    burst_period = burst_on + take_milliseconds(p, option);
}

static void take_grow(const char **p, const char *option)
{
    grow_from = take_number(p, option, 1, 700000);
    take_colon(p, option);
    grow_time = take_number(p, option, 1, 1000) * clock_hz;
}

static void parse(const char *p)
{
    for (;;) {
        while (*p == ' ')
            p++;
        if (!*p)
            break;
        const char *option = p;
        if (take(&p, "pages="))
            pages = take_number(&p, option, 1, 700000);
        else if (take(&p, "rate="))
            touching.rate = take_number(&p, option, 0, MAX_RATE);
        else if (take(&p, "bytes="))
            bytes = take_number(&p, option, 8, PAGE);
        else if (take(&p, "mix="))
            take_mix(&p, option);
        else if (take(&p, "verify="))
            verifying.rate = take_number(&p, option, 0, MAX_RATE);
        else if (take(&p, "burst="))
            take_burst(&p, option);
        else if (take(&p, "grow="))
            take_grow(&p, option);
        else if (take(&p, "seed="))
            seed = take_number(&p, option, 0, 0xffffffff);
        else
            fail("unknown option ", option);
        if ((*p && *p != ' ') || (bytes & (bytes - 1)))
            fail("bad value in ", option);
    }
    if (grow_from > pages)
        fail("grow= begins with more pages than there are", "");
}

void guest_run(const char *command_line, unsigned long end_of_memory)
{
    parse(command_line);
    if (verifying.rate != UNLIMITED)
        sleep_setup();
    make_dictionary();
    set_up_memory(end_of_memory);
    lines_left = 64;
    put("wherry-guest ready\n");
    run();
}
