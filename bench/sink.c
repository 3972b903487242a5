/*
 * A server that is not the bottleneck: enough of the S3 API for the programs that are measured.
 *
 * A thread per connection, HTTP and HTTPS. Bodies of PUTs are thrown away (over HTTP without even
 * a copy: recv with MSG_TRUNC) but counted, part by part, so that ListParts, Complete and HEAD tell
 * the truth about sizes; with -s they are kept, so that contents can be compared. Objects to be
 * downloaded are files that the benchmark has registered.
 *
 * What it does not do: it checks no signature, and it repeats the checksums that a client states
 * without computing them. No durable server answers as fast; that is the point of it.
 *
 * The benchmark's own calls are below /-/: reset, register, counts, sizes. They are best made over
 * the Unix socket, which also reaches a sink in another network namespace.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_ROOM = 64 << 10, SCRATCH = 1 << 20, FIELD = 256, KEY = 1200, TABLE = 1 << 15 };

/* ---- what is kept ---------------------------------------------------------------------------- */

/* A checksum as the client has stated it: header name and value, or empty. */
typedef struct {
    char name[40], value[104];
} checksum;

typedef struct object {
    struct object *next;
    char *key, *path, *meta;
    uint64_t size;
    time_t modified;
    char etag[64];
    checksum sum;
    bool registered, gone;
} object;

typedef struct {
    int number;
    uint64_t size;
    char etag[64];
    char *path;
    checksum sum;
} part;

typedef struct upload {
    struct upload *next;
    char id[40];
    char *key, *meta;
    char algorithm[16];
    part *parts;
    size_t count, room;
} upload;

static object *objects[TABLE];
static upload *uploads[TABLE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder = NULL; /* where bodies are kept, or NULL */
static SSL_CTX *tls = NULL;
static uint64_t serial, count_requests, count_refused, count_connections, bytes_in, bytes_out;
static uint64_t by_method[6];
/* PUTs that state a checksum of their body, by how: what a client pays for is seen here. */
static uint64_t with_md5, with_sha256, with_checksum, with_trailer;
static const char *const METHODS[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "other"};

static void add(uint64_t *counter, uint64_t n) { __atomic_add_fetch(counter, n, __ATOMIC_RELAXED); }
static uint64_t fresh(void) { return __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED); }

static void *must(void *memory) {
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static unsigned slot(const char *text) {
    unsigned h = 2166136261u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 16777619u;
    return h & (TABLE - 1);
}

static object *find_object(const char *key) {
    for (object *o = objects[slot(key)]; o; o = o->next)
        if (!o->gone && !strcmp(o->key, key)) return o;
    return NULL;
}

static upload *find_upload(const char *id) {
    for (upload *u = uploads[slot(id)]; u; u = u->next)
        if (!strcmp(u->id, id)) return u;
    return NULL;
}

static part *find_part(const upload *u, int number) {
    for (size_t i = 0; i < u->count; i++)
        if (u->parts[i].number == number) return &u->parts[i];
    return NULL;
}

/* The ETag looks like that of a multipart object, or clients would take it for an MD5. */
static void new_etag(char *out) { snprintf(out, 64, "\"%032llx-1\"", (unsigned long long)fresh()); }

static char *new_path(void) {
    char *path;
    if (asprintf(&path, "%s/%llu", folder, (unsigned long long)fresh()) < 0) must(NULL);
    return path;
}

/* A name seen before keeps its place; readers only copy what they need, under the lock. */
static object *put_object(const char *key, uint64_t size, char *path) {
    unsigned at = slot(key);
    object *o = objects[at];
    while (o && strcmp(o->key, key)) o = o->next;
    if (!o) {
        o = must(calloc(1, sizeof *o));
        o->key = must(strdup(key));
        o->next = objects[at];
        objects[at] = o;
    }
    free(o->path);
    free(o->meta);
    o->meta = NULL;
    o->path = path;
    o->size = size;
    o->modified = time(NULL);
    o->registered = o->gone = false;
    memset(&o->sum, 0, sizeof o->sum);
    new_etag(o->etag);
    return o;
}

static void set_part(upload *u, part given) {
    part *p = find_part(u, given.number);
    if (!p) {
        if (u->count == u->room) {
            u->room = u->room ? 2 * u->room : 64;
            u->parts = must(realloc(u->parts, u->room * sizeof *u->parts));
        }
        p = &u->parts[u->count++];
    } else if (p->path) {
        unlink(p->path);
        free(p->path);
    }
    *p = given;
}

static int by_number(const void *a, const void *b) {
    return ((const part *)a)->number - ((const part *)b)->number;
}

static void free_upload(upload *gone) {
    for (upload **at = &uploads[slot(gone->id)]; *at; at = &(*at)->next)
        if (*at == gone) {
            *at = gone->next;
            break;
        }
    for (size_t i = 0; i < gone->count; i++) {
        if (gone->parts[i].path) unlink(gone->parts[i].path);
        free(gone->parts[i].path);
    }
    free(gone->parts);
    free(gone->key);
    free(gone->meta);
    free(gone);
}

/* ---- a connection ---------------------------------------------------------------------------- */

typedef struct {
    int fd;
    SSL *ssl;
    char *buffer, *scratch;
    size_t from, to; /* what is in the buffer and not yet consumed */
} conn;

typedef struct {
    char method[12], target[4 * KEY], key[KEY], query[2 * KEY];
    char *head; /* the header lines, NUL at the end */
    bool close;
} request;

static ssize_t receive(conn *c, void *out, size_t most) {
    if (c->ssl) return SSL_read(c->ssl, out, (int)most);
    ssize_t n;
    do n = recv(c->fd, out, most, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool transmit(conn *c, const char *data, size_t size) {
    add(&bytes_out, size);
    while (size) {
        size_t now = size > SCRATCH ? SCRATCH : size;
        ssize_t n = c->ssl ? SSL_write(c->ssl, data, (int)now) : send(c->fd, data, now, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static bool fill(conn *c) {
    if (c->from) {
        memmove(c->buffer, c->buffer + c->from, c->to - c->from);
        c->to -= c->from;
        c->from = 0;
    }
    if (c->to == HEAD_ROOM - 1) return false;
    ssize_t n = receive(c, c->buffer + c->to, HEAD_ROOM - 1 - c->to);
    if (n <= 0) return false;
    c->to += (size_t)n;
    return true;
}

/* Consume up to `most` bytes into the scratch buffer, or to nowhere; 0 is the end. */
static size_t take(conn *c, uint64_t most, bool wanted) {
    if (c->from < c->to) {
        size_t n = c->to - c->from;
        if (n > most) n = most;
        if (n > SCRATCH) n = SCRATCH;
        if (wanted) memcpy(c->scratch, c->buffer + c->from, n);
        c->from += n;
        return n;
    }
    size_t room = most > SCRATCH ? SCRATCH : most;
    ssize_t n = wanted || c->ssl ? receive(c, c->scratch, room)
                                 : recv(c->fd, c->scratch, room, MSG_TRUNC | MSG_WAITALL);
    return n > 0 ? (size_t)n : 0;
}

static bool read_line(conn *c, char *out, size_t room) {
    for (;;) {
        char *start = c->buffer + c->from;
        char *end = memmem(start, c->to - c->from, "\r\n", 2);
        if (end) {
            size_t n = (size_t)(end - start);
            if (n >= room) return false;
            memcpy(out, start, n);
            out[n] = 0;
            c->from += n + 2;
            return true;
        }
        if (!fill(c)) return false;
    }
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* Takes "HEX[;signature]CRLF data CRLF ... 0 CRLF trailers" apart, at whatever bytes it is cut. */
typedef struct {
    enum { SIZE_LINE, DATA, AFTER_DATA, TRAILERS } state;
    char line[FIELD];
    size_t used;
    uint64_t left;
} unchunker;

typedef struct {
    bool aws;
    unchunker chunks;
    int fd;      /* where it is kept, or -1 */
    FILE *text;  /* or memory, for documents */
    uint64_t size;
} body;

static bool keep(body *b, const char *data, size_t size) {
    b->size += size;
    if (b->text) return fwrite(data, 1, size, b->text) == size;
    while (b->fd >= 0 && size) {
        ssize_t n = write(b->fd, data, size);
        if (n < 0) return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static void size_line(unchunker *u, char next) {
    if (u->used < sizeof u->line - 1) u->line[u->used++] = next;
    if (next != '\n') return;
    u->line[u->used] = 0;
    u->used = 0;
    u->left = strtoull(u->line, NULL, 16);
    u->state = u->left ? DATA : TRAILERS;
}

static bool unchunk(body *b, const char *data, size_t size) {
    unchunker *u = &b->chunks;
    while (size) {
        size_t n = 1;
        if (u->state == DATA) {
            n = size < u->left ? size : u->left;
            if (!keep(b, data, n)) return false;
            u->left -= n;
            if (!u->left) u->state = AFTER_DATA;
        } else if (u->state == SIZE_LINE) {
            size_line(u, *data);
        } else if (u->state == AFTER_DATA) {
            if (*data == '\n') u->state = SIZE_LINE;
        } else {
            return true;
        }
        data += n;
        size -= n;
    }
    return true;
}

static bool read_run(conn *c, body *b, uint64_t left) {
    bool wanted = b->aws || b->fd >= 0 || b->text;
    while (left) {
        size_t n = take(c, left, wanted);
        if (!n) return false;
        add(&bytes_in, n);
        left -= n;
        if (!wanted) b->size += n;
        else if (!(b->aws ? unchunk(b, c->scratch, n) : keep(b, c->scratch, n))) return false;
    }
    return true;
}

static char *header(const request *r, const char *name) {
    size_t n = strlen(name);
    for (char *at = r->head; at && *at; at = strstr(at, "\r\n"), at = at ? at + 2 : NULL)
        if (!strncasecmp(at, name, n) && at[n] == ':') return at + n + 1 + strspn(at + n + 1, " ");
    return NULL;
}

/* Copies a header's value; empty if there is none. */
static bool copy_header(const request *r, const char *name, char *out, size_t room) {
    const char *at = header(r, name);
    size_t n = at ? strcspn(at, "\r\n") : 0;
    if (n >= room) n = room - 1;
    memcpy(out, at ? at : "", n);
    out[n] = 0;
    return at != NULL;
}

static bool has_word(const request *r, const char *name, const char *word) {
    char value[FIELD];
    return copy_header(r, name, value, sizeof value) && strcasestr(value, word);
}

static bool read_chunked(conn *c, body *b) {
    char line[FIELD];
    for (;;) {
        if (!read_line(c, line, sizeof line)) return false;
        uint64_t n = strtoull(line, NULL, 16);
        if (!n) break;
        if (!read_run(c, b, n) || !read_line(c, line, sizeof line)) return false;
    }
    do
        if (!read_line(c, line, sizeof line)) return false;
    while (*line);
    return true;
}

static bool read_body(conn *c, const request *r, body *b) {
    char value[FIELD];
    if (has_word(r, "expect", "100-continue") && !transmit(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        return false;
    b->aws = has_word(r, "content-encoding", "aws-chunked") ||
             has_word(r, "x-amz-content-sha256", "STREAMING-");
    if (has_word(r, "transfer-encoding", "chunked")) return read_chunked(c, b);
    if (!copy_header(r, "content-length", value, sizeof value)) return true;
    return read_run(c, b, strtoull(value, NULL, 10));
}

/* Reads a whole document; the caller frees it. */
static char *read_text(conn *c, const request *r) {
    char *text = NULL;
    size_t size = 0;
    body b = {.fd = -1, .text = must(open_memstream(&text, &size))};
    bool good = read_body(c, r, &b);
    fclose(b.text);
    if (good) return text;
    free(text);
    return NULL;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void http_date(time_t when, char *out) {
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(out, 64, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static bool answer(conn *c, const request *r, int status, const char *extra, const char *text) {
    char head[4096], date[64];
    size_t size = strlen(text);
    http_date(time(NULL), date);
    if (status >= 400) add(&count_refused, 1);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nServer: sink\r\nDate: %s\r\nx-amz-request-id: %016llX\r\n"
                     "%sContent-Length: %zu\r\n\r\n",
                     status, status < 300 ? "OK" : "Refused", date, (unsigned long long)fresh(), extra,
                     size);
    if (n >= (int)sizeof head) return false;
    bool bare = !strcmp(r->method, "HEAD");
    if (!bare && n + size <= sizeof head) {
        memcpy(head + n, text, size);
        return transmit(c, head, n + size);
    }
    return transmit(c, head, (size_t)n) && (bare || transmit(c, text, size));
}

#define XML "Content-Type: application/xml\r\n"
#define NAMESPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static bool refuse(conn *c, const request *r, int status, const char *code, const char *why) {
    char text[512];
    snprintf(text, sizeof text, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>",
             code, why);
    return answer(c, r, status, XML, text);
}

static bool no_such_upload(conn *c, const request *r) {
    return refuse(c, r, 404, "NoSuchUpload", "no such upload");
}

/* ---- requests -------------------------------------------------------------------------------- */

static void unescape(char *text) {
    char *out = text;
    for (; *text; text++) {
        if (*text == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])) {
            char hex[3] = {text[1], text[2], 0};
            *out++ = (char)strtol(hex, NULL, 16);
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = 0;
}

/* Copies the value of a query parameter; true if the name is there at all. */
static bool parameter(const request *r, const char *name, char *out, size_t room) {
    size_t n = strlen(name);
    *out = 0;
    for (const char *at = r->query; at && *at; at = strchr(at, '&'), at = at ? at + 1 : NULL) {
        if (strncmp(at, name, n) || !strchr("=&", at[n])) continue;
        if (at[n] != '=') return true;
        size_t size = strcspn(at + n + 1, "&");
        if (size >= room) size = room - 1;
        memcpy(out, at + n + 1, size);
        out[size] = 0;
        unescape(out);
        return true;
    }
    return false;
}

static void stated_checksum(const request *r, checksum *out) {
    static const char *const NAMES[] = {"crc32c", "crc32", "crc64nvme", "sha256", "sha1"};
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char name[40];
        snprintf(name, sizeof name, "x-amz-checksum-%s", NAMES[i]);
        if (!copy_header(r, name, out->value, sizeof out->value)) continue;
        snprintf(out->name, sizeof out->name, "%s", NAMES[i]);
        return;
    }
}

/* The x-amz-meta- lines of a request, as they will stand in the answer to a HEAD. */
static char *metadata(const request *r) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = must(open_memstream(&text, &size));
    for (char *at = r->head; at && *at; at = strstr(at, "\r\n"), at = at ? at + 2 : NULL)
        if (!strncasecmp(at, "x-amz-meta-", 11)) fprintf(out, "%.*s\r\n", (int)strcspn(at, "\r\n"), at);
    fclose(out);
    if (size < 1024) return text;
    free(text);
    return NULL;
}

static void checksum_header(const checksum *sum, char *out, size_t room) {
    *out = 0;
    if (*sum->name)
        snprintf(out, room, "x-amz-checksum-%s: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", sum->name,
                 sum->value);
}

/* `ChecksumCRC32C` and the like, as XML. */
static void checksum_element(const checksum *sum, char *out, size_t room) {
    char name[40];
    size_t i;
    *out = 0;
    if (!*sum->name) return;
    for (i = 0; sum->name[i]; i++) name[i] = (char)toupper((unsigned char)sum->name[i]);
    name[i] = 0;
    snprintf(out, room, "<Checksum%s>%s</Checksum%s>", name, sum->value, name);
}

/* Reads the body to where bodies go; the path is the caller's, NULL where nothing is kept. */
static bool receive_object(conn *c, const request *r, char **path, uint64_t *size) {
    body b = {.fd = -1};
    *path = NULL;
    if (folder) {
        *path = new_path();
        b.fd = open(*path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
        if (b.fd < 0) {
            perror(*path);
            exit(1);
        }
    }
    bool good = read_body(c, r, &b);
    if (b.fd >= 0) close(b.fd);
    *size = b.size;
    if (!good && *path) {
        unlink(*path);
        free(*path);
    }
    return good;
}

static bool upload_part(conn *c, const request *r, const char *id, int number) {
    part given = {.number = number};
    char extra[512], sum[256];
    stated_checksum(r, &given.sum);
    if (!receive_object(c, r, &given.path, &given.size)) return false;
    new_etag(given.etag);
    checksum_header(&given.sum, sum, sizeof sum);
    snprintf(extra, sizeof extra, "ETag: %s\r\n%s", given.etag, sum);
    pthread_mutex_lock(&lock);
    upload *u = find_upload(id);
    if (u) set_part(u, given);
    pthread_mutex_unlock(&lock);
    if (u) return answer(c, r, 200, extra, "");
    if (given.path) unlink(given.path);
    free(given.path);
    return no_such_upload(c, r);
}

static bool put_whole(conn *c, const request *r) {
    checksum sum;
    char *path, extra[512], line[256];
    uint64_t size;
    stated_checksum(r, &sum);
    if (!receive_object(c, r, &path, &size)) return false;
    checksum_header(&sum, line, sizeof line);
    pthread_mutex_lock(&lock);
    object *o = put_object(r->key, size, path);
    o->sum = sum;
    o->meta = metadata(r);
    snprintf(extra, sizeof extra, "ETag: %s\r\n%s", o->etag, line);
    pthread_mutex_unlock(&lock);
    return answer(c, r, 200, extra, "");
}

static bool create_upload(conn *c, const request *r) {
    char text[2 * KEY], extra[256] = "";
    upload *u = must(calloc(1, sizeof *u));
    snprintf(u->id, sizeof u->id, "upload%llu-%d", (unsigned long long)fresh(), (int)getpid());
    u->key = must(strdup(r->key));
    u->meta = metadata(r);
    if (copy_header(r, "x-amz-checksum-algorithm", u->algorithm, sizeof u->algorithm))
        snprintf(extra, sizeof extra,
                 XML "x-amz-checksum-algorithm: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", u->algorithm);
    const char *slash = strchr(r->key, '/');
    snprintf(text, sizeof text,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult" NAMESPACE
             "><Bucket>%.*s</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>",
             (int)(slash - r->key), r->key, slash + 1, u->id);
    pthread_mutex_lock(&lock);
    unsigned at = slot(u->id);
    u->next = uploads[at];
    uploads[at] = u;
    pthread_mutex_unlock(&lock);
    return answer(c, r, 200, *extra ? extra : XML, text);
}

static void list_part(FILE *out, const part *p) {
    char sum[256];
    checksum_element(&p->sum, sum, sizeof sum);
    fprintf(out,
            "<Part><PartNumber>%d</PartNumber><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            "<ETag>%s</ETag><Size>%llu</Size>%s</Part>",
            p->number, p->etag, (unsigned long long)p->size, sum);
}

static bool list_parts(conn *c, const request *r, const char *id) {
    char *text = NULL, marker[16], most[16];
    size_t size = 0;
    parameter(r, "part-number-marker", marker, sizeof marker);
    int limit = parameter(r, "max-parts", most, sizeof most) ? atoi(most) : 1000, last = 0, shown = 0;
    FILE *out = must(open_memstream(&text, &size));
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListPartsResult" NAMESPACE ">", out);
    pthread_mutex_lock(&lock);
    upload *u = find_upload(id);
    if (u) qsort(u->parts, u->count, sizeof *u->parts, by_number);
    bool more = false;
    for (size_t i = 0; u && i < u->count; i++) {
        if (u->parts[i].number <= atoi(marker)) continue;
        more = shown == limit;
        if (more) break;
        list_part(out, &u->parts[i]);
        last = u->parts[i].number;
        shown++;
    }
    pthread_mutex_unlock(&lock);
    fprintf(out,
            "<UploadId>%s</UploadId><NextPartNumberMarker>%d</NextPartNumberMarker>"
            "<IsTruncated>%s</IsTruncated></ListPartsResult>",
            id, last, more ? "true" : "false");
    fclose(out);
    bool good = u ? answer(c, r, 200, XML, text) : no_such_upload(c, r);
    free(text);
    return good;
}

static void append_file(int to, const char *path) {
    int from = open(path, O_RDONLY);
    struct stat about;
    off_t at = 0;
    if (from < 0 || fstat(from, &about)) {
        perror(path);
        exit(1);
    }
    while (at < about.st_size)
        if (sendfile(to, from, &at, (size_t)(about.st_size - at)) <= 0) {
            perror(path);
            exit(1);
        }
    close(from);
}

static char *join_parts(const upload *u, const int *numbers, size_t count) {
    char *path = new_path();
    int to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    for (size_t i = 0; i < count; i++) append_file(to, find_part(u, numbers[i])->path);
    close(to);
    return path;
}

static char *between(char *at, const char *end, const char *open, const char *shut, char *out, size_t room) {
    char *start = strstr(at, open);
    char *stop = start && start < end ? strstr(start, shut) : NULL;
    *out = 0;
    if (!stop || stop > end) return NULL;
    start += strlen(open);
    snprintf(out, room, "%.*s", (int)(stop - start), start);
    return stop;
}

/* ETags are compared without quotes, which come as such, as &quot; or as &#34;. */
static bool same_etag(const char *stated, const char *etag) {
    return memmem(stated, strlen(stated), etag + 1, strlen(etag) - 2) != NULL;
}

/* Reads the part numbers of a Complete document; their count, or 0 if one is not as it was sent. */
static size_t listed_parts(char *document, const upload *u, int **numbers, uint64_t *size) {
    size_t count = 0;
    *numbers = must(calloc(u->count + 1, sizeof **numbers));
    *size = 0;
    for (char *at = document; (at = strstr(at, "<Part>"));) {
        char number[16], etag[FIELD], *end = strstr(at, "</Part>");
        if (!end || count == u->count) return 0;
        between(at, end, "<PartNumber>", "</PartNumber>", number, sizeof number);
        between(at, end, "<ETag>", "</ETag>", etag, sizeof etag);
        part *p = find_part(u, atoi(number));
        if (!p || !same_etag(etag, p->etag) || (count && (*numbers)[count - 1] >= p->number)) return 0;
        (*numbers)[count++] = p->number;
        *size += p->size;
        at = end;
    }
    return count;
}

static bool complete(conn *c, const request *r, const char *id) {
    char extra[256], text[2 * KEY], etag[64] = "", element[256] = "", *document = read_text(c, r);
    int *numbers = NULL;
    uint64_t size = 0;
    size_t count = 0;
    if (!document) return false;
    pthread_mutex_lock(&lock);
    upload *u = find_upload(id);
    if (u) count = listed_parts(document, u, &numbers, &size);
    if (count) {
        object *o = put_object(u->key, size, folder ? join_parts(u, numbers, count) : NULL);
        stated_checksum(r, &o->sum);
        checksum_element(&o->sum, element, sizeof element);
        o->meta = u->meta;
        u->meta = NULL;
        snprintf(etag, sizeof etag, "%s", o->etag);
        free_upload(u);
    }
    pthread_mutex_unlock(&lock);
    free(document);
    free(numbers);
    if (!u) return no_such_upload(c, r);
    if (!count) return refuse(c, r, 400, "InvalidPart", "a part is not there, or not what was sent");
    snprintf(extra, sizeof extra, XML);
    snprintf(text, sizeof text,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult" NAMESPACE
             "><Key>%s</Key><ETag>%s</ETag>%s</CompleteMultipartUploadResult>",
             strchr(r->key, '/') + 1, etag, element);
    return answer(c, r, 200, extra, text);
}

static bool abort_upload(conn *c, const request *r, const char *id) {
    pthread_mutex_lock(&lock);
    upload *u = find_upload(id);
    if (u) free_upload(u);
    pthread_mutex_unlock(&lock);
    return u ? answer(c, r, 204, "", "") : no_such_upload(c, r);
}

static bool delete_object(conn *c, const request *r) {
    pthread_mutex_lock(&lock);
    object *o = find_object(r->key);
    if (o && o->path && !o->registered) unlink(o->path);
    if (o) o->gone = true;
    pthread_mutex_unlock(&lock);
    return answer(c, r, 204, "", "");
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct {
    uint64_t first, last, total; /* bytes first to last, both in */
    bool partial, valid;
} range;

static range range_of(const request *r, uint64_t total) {
    range found = {.last = total - 1, .total = total, .valid = true};
    char value[FIELD];
    if (!copy_header(r, "range", value, sizeof value) || strncmp(value, "bytes=", 6)) return found;
    char *at = value + 6;
    found.partial = true;
    if (*at == '-') {
        uint64_t tail = strtoull(at + 1, NULL, 10);
        found.first = tail < total ? total - tail : 0;
    } else {
        found.first = strtoull(at, &at, 10);
        if (*at == '-' && isdigit((unsigned char)at[1])) found.last = strtoull(at + 1, NULL, 10);
    }
    if (found.last >= total) found.last = total - 1;
    found.valid = total && found.first <= found.last;
    return found;
}

static bool send_file(conn *c, int fd, uint64_t start, uint64_t left) {
    off_t at = (off_t)start;
    add(&bytes_out, left);
    while (left && !c->ssl) {
        ssize_t n = sendfile(c->fd, fd, &at, left > (8 << 20) ? (8 << 20) : left);
        if (n <= 0) return false;
        left -= (uint64_t)n;
    }
    while (left) {
        ssize_t n = pread(fd, c->scratch, left > (256 << 10) ? (256 << 10) : left, at);
        if (n <= 0 || SSL_write(c->ssl, c->scratch, (int)n) <= 0) return false;
        at += n;
        left -= (uint64_t)n;
    }
    return true;
}

static bool send_head(conn *c, const char *head, size_t size, bool more) {
    if (c->ssl || !more) return transmit(c, head, size);
    add(&bytes_out, size);
    return send(c->fd, head, size, MSG_NOSIGNAL | MSG_MORE) == (ssize_t)size;
}

static bool send_object(conn *c, const request *r, const object *o, const char *path) {
    char head[4096], date[64], modified[64], where[128] = "", sum[256] = "";
    range part = range_of(r, o->size);
    if (part.partial && !part.valid) return refuse(c, r, 416, "InvalidRange", "no such range");
    uint64_t size = o->size ? part.last - part.first + 1 : 0;
    bool bare = !strcmp(r->method, "HEAD");
    http_date(time(NULL), date);
    http_date(o->modified, modified);
    if (part.partial)
        snprintf(where, sizeof where, "Content-Range: bytes %llu-%llu/%llu\r\n",
                 (unsigned long long)part.first, (unsigned long long)part.last, (unsigned long long)o->size);
    if (!part.partial && has_word(r, "x-amz-checksum-mode", "enabled"))
        checksum_header(&o->sum, sum, sizeof sum);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nServer: sink\r\nDate: %s\r\nx-amz-request-id: %016llX\r\n"
                     "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n"
                     "Content-Type: application/octet-stream\r\n%s%s%sContent-Length: %llu\r\n\r\n",
                     part.partial ? "206 Partial Content" : "200 OK", date, (unsigned long long)fresh(),
                     modified, o->etag, where, sum, o->meta ? o->meta : "", (unsigned long long)size);
    if (n >= (int)sizeof head) return false;
    if (bare || !size) return transmit(c, head, (size_t)n);
    int fd = open(path, O_RDONLY);
    bool good = fd >= 0 && send_head(c, head, (size_t)n, true) && send_file(c, fd, part.first, size);
    if (fd >= 0) close(fd);
    return good;
}

static bool read_object(conn *c, const request *r) {
    char path[4096] = "", meta[1024] = "", wanted[64];
    pthread_mutex_lock(&lock);
    object *found = find_object(r->key), o = {0};
    if (found) {
        o = *found;
        snprintf(path, sizeof path, "%s", o.path ? o.path : "");
        snprintf(meta, sizeof meta, "%s", o.meta ? o.meta : "");
        o.meta = meta;
    }
    pthread_mutex_unlock(&lock);
    if (!found) return refuse(c, r, 404, "NoSuchKey", "no such object");
    if (copy_header(r, "if-match", wanted, sizeof wanted) && !same_etag(wanted, o.etag))
        return refuse(c, r, 412, "PreconditionFailed", "another version");
    if (!*path && o.size && strcmp(r->method, "HEAD"))
        return refuse(c, r, 404, "NoSuchKey", "its content was thrown away: start the sink with -s");
    return send_object(c, r, &o, path);
}

/* ---- listings -------------------------------------------------------------------------------- */

typedef struct {
    char *key;
    uint64_t size;
    char etag[64];
} row;

static int by_key(const void *a, const void *b) { return strcmp(((const row *)a)->key, ((const row *)b)->key); }

/* Copies what is below a prefix; with `uploaded`, without what was registered. Under the lock. */
static row *rows_below(const char *prefix, bool uploaded, size_t *count) {
    size_t room = 0, n = strlen(prefix);
    row *rows = NULL;
    *count = 0;
    for (size_t i = 0; i < TABLE; i++)
        for (object *o = objects[i]; o; o = o->next) {
            if (o->gone || strncmp(o->key, prefix, n) || (uploaded && o->registered)) continue;
            if (*count == room) {
                room = room ? 2 * room : 1024;
                rows = must(realloc(rows, room * sizeof *rows));
            }
            row *next = &rows[(*count)++];
            next->key = must(strdup(o->key));
            next->size = o->size;
            memcpy(next->etag, o->etag, sizeof next->etag);
        }
    if (rows) qsort(rows, *count, sizeof *rows, by_key);
    return rows;
}

static void free_rows(row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) free(rows[i].key);
    free(rows);
}

typedef struct {
    char prefix[KEY], delimiter[8], after[KEY];
    size_t most;
} listing;

static listing listing_of(const request *r) {
    listing l;
    char most[16];
    parameter(r, "prefix", l.prefix, sizeof l.prefix);
    parameter(r, "delimiter", l.delimiter, sizeof l.delimiter);
    if (!parameter(r, "continuation-token", l.after, sizeof l.after) &&
        !parameter(r, "marker", l.after, sizeof l.after))
        parameter(r, "start-after", l.after, sizeof l.after);
    l.most = parameter(r, "max-keys", most, sizeof most) ? strtoul(most, NULL, 10) : 1000;
    return l;
}

/* Writes one page; `last` becomes the key to go on behind, or stays empty at the end. */
static size_t write_page(FILE *out, const listing *l, const row *rows, size_t count, size_t skip, char *last) {
    size_t shown = 0;
    char folder_name[KEY] = "", seen[KEY] = "";
    for (size_t i = 0; i < count; i++) {
        const char *key = rows[i].key + skip;
        if (*l->after && strcmp(key, l->after) <= 0) continue;
        const char *cut = *l->delimiter ? strstr(key + strlen(l->prefix), l->delimiter) : NULL;
        if (cut) snprintf(folder_name, sizeof folder_name, "%.*s", (int)(cut - key) + 1, key);
        bool known = cut && !strcmp(folder_name, seen);
        if (!known && shown == l->most) return shown;
        snprintf(last, KEY, "%s", key);
        if (known) continue;
        shown++;
        if (cut) {
            snprintf(seen, sizeof seen, "%s", folder_name);
            fprintf(out, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", seen);
            continue;
        }
        fprintf(out,
                "<Contents><Key>%s</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
                "<ETag>%s</ETag><Size>%llu</Size><StorageClass>STANDARD</StorageClass></Contents>",
                key, rows[i].etag, (unsigned long long)rows[i].size);
    }
    *last = 0;
    return shown;
}

static bool list_objects(conn *c, const request *r) {
    char *text = NULL, start[2 * KEY], last[KEY] = "";
    size_t size = 0, count;
    listing l = listing_of(r);
    snprintf(start, sizeof start, "%s/%s", r->key, l.prefix);
    pthread_mutex_lock(&lock);
    row *rows = rows_below(start, false, &count);
    pthread_mutex_unlock(&lock);
    FILE *out = must(open_memstream(&text, &size));
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult" NAMESPACE
            "><Name>%s</Name><Prefix>%s</Prefix><MaxKeys>%zu</MaxKeys>",
            r->key, l.prefix, l.most);
    size_t shown = write_page(out, &l, rows, count, strlen(r->key) + 1, last);
    fprintf(out, "<KeyCount>%zu</KeyCount><IsTruncated>%s</IsTruncated>", shown, *last ? "true" : "false");
    if (*last)
        fprintf(out, "<NextContinuationToken>%s</NextContinuationToken><NextMarker>%s</NextMarker>", last, last);
    fputs("</ListBucketResult>", out);
    fclose(out);
    free_rows(rows, count);
    bool good = answer(c, r, 200, XML, text);
    free(text);
    return good;
}

/* ---- the benchmark's own calls --------------------------------------------------------------- */

static void reset(void) {
    for (size_t i = 0; i < TABLE; i++) {
        for (object *o = objects[i]; o; o = o->next) {
            if (!o->gone && !o->registered && o->path) unlink(o->path);
            if (!o->registered) o->gone = true;
        }
        while (uploads[i]) free_upload(uploads[i]);
    }
    count_requests = count_refused = count_connections = bytes_in = bytes_out = 0;
    with_md5 = with_sha256 = with_checksum = with_trailer = 0;
    memset(by_method, 0, sizeof by_method);
}

/* One object a line: key, path and base64 CRC-32C, with tabs between. */
static bool register_objects(conn *c, const request *r) {
    char *text = read_text(c, r), *rest = NULL;
    bool good = text != NULL;
    pthread_mutex_lock(&lock);
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char *path = strchr(line, '\t'), *sum = path ? strchr(path + 1, '\t') : NULL;
        struct stat about;
        if (!sum) break;
        *path++ = *sum++ = 0;
        if (stat(path, &about)) break;
        object *o = put_object(line, (uint64_t)about.st_size, must(strdup(path)));
        o->registered = true;
        snprintf(o->sum.name, sizeof o->sum.name, "%s", *sum ? "crc32c" : "");
        snprintf(o->sum.value, sizeof o->sum.value, "%s", sum);
    }
    pthread_mutex_unlock(&lock);
    free(text);
    return good && answer(c, r, 200, "", "");
}

static bool show_counts(conn *c, const request *r) {
    char text[1024], *at = text;
    at += sprintf(at, "{\"requests\": %llu, \"refused\": %llu, \"connections\": %llu, \"bytes_in\": %llu, "
                      "\"bytes_out\": %llu",
                  (unsigned long long)count_requests, (unsigned long long)count_refused,
                  (unsigned long long)count_connections, (unsigned long long)bytes_in,
                  (unsigned long long)bytes_out);
    for (int i = 0; i < 6; i++) at += sprintf(at, ", \"%s\": %llu", METHODS[i], (unsigned long long)by_method[i]);
    sprintf(at, ", \"md5\": %llu, \"sha256\": %llu, \"checksum\": %llu, \"trailer\": %llu}\n",
            (unsigned long long)with_md5, (unsigned long long)with_sha256, (unsigned long long)with_checksum,
            (unsigned long long)with_trailer);
    return answer(c, r, 200, "", text);
}

/* Size and key of everything that was uploaded, a line each, and the uploads that are still open. */
static bool show_sizes(conn *c, const request *r) {
    char *text = NULL;
    size_t size = 0, count;
    FILE *out = must(open_memstream(&text, &size));
    pthread_mutex_lock(&lock);
    row *rows = rows_below("", true, &count);
    for (size_t i = 0; i < TABLE; i++)
        for (upload *u = uploads[i]; u; u = u->next) fprintf(out, "open\t%s\n", u->key);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) fprintf(out, "%llu\t%s\n", (unsigned long long)rows[i].size, rows[i].key);
    fclose(out);
    free_rows(rows, count);
    bool good = answer(c, r, 200, "", text);
    free(text);
    return good;
}

static bool own_call(conn *c, const request *r) {
    if (!strcmp(r->key, "-/register")) return register_objects(c, r);
    if (!strcmp(r->key, "-/counts")) return show_counts(c, r);
    if (!strcmp(r->key, "-/sizes")) return show_sizes(c, r);
    if (strcmp(r->key, "-/reset")) return refuse(c, r, 404, "NoSuchKey", "no such call");
    pthread_mutex_lock(&lock);
    reset();
    pthread_mutex_unlock(&lock);
    return answer(c, r, 200, "", "");
}

/* ---- one request ----------------------------------------------------------------------------- */

static bool drain(conn *c, const request *r) {
    body b = {.fd = -1};
    return read_body(c, r, &b);
}

static bool on_bucket(conn *c, const request *r) {
    char value[8];
    if (!drain(c, r)) return false;
    if (strcmp(r->method, "GET")) return answer(c, r, 200, "", "");
    if (parameter(r, "location", value, sizeof value))
        return answer(c, r, 200, XML, "<LocationConstraint" NAMESPACE "></LocationConstraint>");
    if (parameter(r, "versioning", value, sizeof value))
        return answer(c, r, 200, XML, "<VersioningConfiguration" NAMESPACE "></VersioningConfiguration>");
    return list_objects(c, r);
}

static bool on_post(conn *c, const request *r) {
    char id[64], value[8];
    if (parameter(r, "uploads", value, sizeof value)) return drain(c, r) && create_upload(c, r);
    if (parameter(r, "uploadId", id, sizeof id)) return complete(c, r, id);
    return drain(c, r) && refuse(c, r, 501, "NotImplemented", "no such operation here");
}

static void note_checks(const request *r) {
    char value[FIELD];
    checksum sum;
    stated_checksum(r, &sum);
    if (*sum.name) add(&with_checksum, 1);
    if (copy_header(r, "content-md5", value, sizeof value)) add(&with_md5, 1);
    if (copy_header(r, "x-amz-trailer", value, sizeof value)) add(&with_trailer, 1);
    if (copy_header(r, "x-amz-content-sha256", value, sizeof value) && strlen(value) == 64)
        add(&with_sha256, 1);
}

static bool on_object(conn *c, const request *r) {
    char id[64], number[16];
    bool multipart = parameter(r, "uploadId", id, sizeof id);
    if (!strcmp(r->method, "PUT")) {
        note_checks(r);
        if (has_word(r, "x-amz-copy-source", "/"))
            return drain(c, r) && refuse(c, r, 501, "NotImplemented", "no copies here");
        if (!multipart) return put_whole(c, r);
        parameter(r, "partNumber", number, sizeof number);
        return upload_part(c, r, id, atoi(number));
    }
    if (!strcmp(r->method, "POST")) return on_post(c, r);
    if (!drain(c, r)) return false;
    if (!strcmp(r->method, "DELETE")) return multipart ? abort_upload(c, r, id) : delete_object(c, r);
    if (!strcmp(r->method, "GET") && multipart) return list_parts(c, r, id);
    if (!strcmp(r->method, "GET") || !strcmp(r->method, "HEAD")) return read_object(c, r);
    return refuse(c, r, 405, "MethodNotAllowed", "no such method");
}

static bool route(conn *c, const request *r) {
    if (!strncmp(r->key, "-/", 2)) return own_call(c, r);
    int i = 0;
    while (i < 5 && strcmp(r->method, METHODS[i])) i++;
    add(&by_method[i], 1);
    add(&count_requests, 1);
    if (strpbrk(r->key, "<>&\"'") || strpbrk(r->query, "<>\"'"))
        return drain(c, r) && refuse(c, r, 400, "InvalidURI", "no such names here");
    if (!*r->key)
        return drain(c, r) && answer(c, r, 200, XML, "<ListAllMyBucketsResult" NAMESPACE
                                                     "><Buckets></Buckets></ListAllMyBucketsResult>");
    return strchr(r->key, '/') ? on_object(c, r) : on_bucket(c, r);
}

static bool parse(request *r, char *head) {
    char *end = strstr(head, "\r\n");
    r->head = end ? end + 2 : head + strlen(head);
    if (sscanf(head, "%11s %4799s", r->method, r->target) != 2 || r->target[0] != '/') return false;
    char *query = strchr(r->target, '?');
    if (query) *query++ = 0;
    if (strlen(r->target) > sizeof r->key || (query && strlen(query) >= sizeof r->query)) return false;
    strcpy(r->query, query ? query : "");
    strcpy(r->key, r->target + 1);
    unescape(r->key);
    size_t n = strlen(r->key);
    if (n && r->key[n - 1] == '/' && strchr(r->key, '/') == r->key + n - 1) r->key[n - 1] = 0;
    r->close = has_word(r, "connection", "close");
    return true;
}

static bool serve(conn *c) {
    char *end;
    request r;
    while (!(end = memmem(c->buffer + c->from, c->to - c->from, "\r\n\r\n", 4)))
        if (!fill(c)) return false;
    *end = 0;
    char *head = must(strdup(c->buffer + c->from));
    c->from = (size_t)(end + 4 - c->buffer);
    bool good = parse(&r, head) && route(c, &r) && !r.close;
    free(head);
    return good;
}

/* ---- listening ------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    bool secure;
} listener;

static void *talk(void *given) {
    listener from = *(listener *)given;
    conn c = {.fd = from.fd, .buffer = must(malloc(HEAD_ROOM)), .scratch = must(malloc(SCRATCH))};
    int one = 1;
    free(given);
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    add(&count_connections, 1);
    if (from.secure) {
        c.ssl = SSL_new(tls);
        SSL_set_fd(c.ssl, c.fd);
    }
    if (!c.ssl || SSL_accept(c.ssl) == 1)
        while (serve(&c)) continue;
    if (c.ssl) {
        SSL_shutdown(c.ssl);
        SSL_free(c.ssl);
    }
    close(c.fd);
    free(c.buffer);
    free(c.scratch);
    return NULL;
}

static bool start(void *(*work)(void *), void *given) {
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 512 << 10);
    return pthread_create(&thread, &detached, work, given) == 0;
}

static void *listen_on(void *given) {
    listener *at = given;
    for (;;) {
        int fd = accept4(at->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        listener *one = must(malloc(sizeof *one));
        *one = (listener){fd, at->secure};
        if (!start(talk, one)) {
            close(fd);
            free(one);
        }
    }
    return NULL;
}

static int bound(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || bind(fd, (void *)&to, sizeof to) || listen(fd, 1024)) {
        perror("cannot listen");
        exit(1);
    }
    return fd;
}

static int bound_locally(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    unlink(path);
    if (bind(fd, (void *)&to, sizeof to) || listen(fd, 16)) {
        perror(path);
        exit(1);
    }
    return fd;
}

/* TLS as S3 speaks it: 1.3, and AES-128-GCM before the others. */
static SSL_CTX *secured(const char *certificate, const char *key) {
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(made, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1) {
        fputs("cannot use certificate and key\n", stderr);
        exit(1);
    }
    SSL_CTX_set_options(made, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_read_ahead(made, 1);
    SSL_CTX_set_default_read_buffer_len(made, 256 << 10);
    SSL_CTX_set_mode(made, SSL_MODE_AUTO_RETRY);
    return made;
}

int main(int count, char **arguments) {
    const char *address = "127.0.0.1", *certificate = NULL, *key = NULL, *own = NULL;
    int plain = 0, secure = 0, option;
    while ((option = getopt(count, arguments, "a:p:t:c:k:s:u:")) > 0) {
        if (option == 'a') address = optarg;
        else if (option == 'p') plain = atoi(optarg);
        else if (option == 't') secure = atoi(optarg);
        else if (option == 'c') certificate = optarg;
        else if (option == 'k') key = optarg;
        else if (option == 's') folder = optarg;
        else if (option == 'u') own = optarg;
        else return 2;
    }
    if (!plain || (secure && !(certificate && key))) {
        fputs("sink [-a ADDRESS] -p PORT [-t TLS_PORT -c CERTIFICATE -k KEY] [-s FOLDER] [-u SOCKET]\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    static listener at[3];
    at[0] = (listener){bound(address, plain), false};
    if (secure) {
        tls = secured(certificate, key);
        at[1] = (listener){bound(address, secure), true};
        start(listen_on, &at[1]);
    }
    if (own) {
        at[2] = (listener){bound_locally(own), false};
        start(listen_on, &at[2]);
    }
    listen_on(&at[0]);
}
