/* Finds and decodes values in one line of JSON: no tree, no copies but of the strings that are asked for. */
#include <stdlib.h>
#include <string.h>

#include "ipopt_driver.h"

static const char *skip_spaces(const char *text) {
    while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
        text++;
    return text;
}

static const char *string_end(const char *text) {
    for (text++; *text && *text != '"'; text++)
        if (*text == '\\' && text[1])
            text++;
    return *text ? text + 1 : NULL;
}

const char *json_end(const char *value) {
    int depth = 0;

    if (*value == '"')
        return string_end(value);
    do {
        if (*value == '"') {
            value = string_end(value);
            if (!value)
                return NULL;
            continue;
        }
        if (!*value)
            return NULL;
        depth += (*value == '{' || *value == '[') - (*value == '}' || *value == ']');
        value++;
    } while (depth > 0 || (*value && !strchr(",:}] \t\r\n", *value)));
    return value;
}

const char *json_first(const char *container) {
    const char *item = skip_spaces(container + 1);
    return !*item || *item == '}' || *item == ']' ? NULL : item;
}

const char *json_next(const char *value) {
    const char *end = json_end(value);

    end = end ? skip_spaces(end) : NULL;
    return end && *end == ',' ? skip_spaces(end + 1) : NULL;
}

const char *json_after_key(const char *key) {
    const char *end = json_end(key);

    end = end ? skip_spaces(end) : NULL;
    return end && *end == ':' ? skip_spaces(end + 1) : NULL;
}

const char *json_member(const char *object, const char *name) {
    size_t length = strlen(name);
    const char *value;

    if (*object != '{')
        return NULL;
    for (const char *key = json_first(object); key; key = json_next(value)) {
        value = json_after_key(key);
        if (!value)
            return NULL;
        if (!strncmp(key + 1, name, length) && key[length + 1] == '"')
            return value;
    }
    return NULL;
}

static unsigned hexadecimal(const char *digits) {
    char four[5] = {0};
    strncpy(four, digits, 4);
    return (unsigned)strtoul(four, NULL, 16);
}

static char *put_utf8(char *to, unsigned point) {
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xC0 | point >> 6);
        *to++ = (char)(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        *to++ = (char)(0xE0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 0x3F));
        *to++ = (char)(0x80 | (point & 0x3F));
    } else {
        *to++ = (char)(0xF0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 0x3F));
        *to++ = (char)(0x80 | (point >> 6 & 0x3F));
        *to++ = (char)(0x80 | (point & 0x3F));
    }
    return to;
}

/* Python writes a byte that is no UTF-8 (a file's name may hold one) as a lone low surrogate, U+DC80 to U+DCFF. */
static const char *decode_point(const char *digits, char **to) {
    unsigned point = hexadecimal(digits);

    if (point >= 0xD800 && point < 0xDC00 && digits[4] == '\\' && digits[5] == 'u') {
        point = 0x10000 + ((point - 0xD800) << 10) + (hexadecimal(digits + 6) - 0xDC00);
        *to = put_utf8(*to, point);
        return digits + 9;
    }
    if (point >= 0xDC80 && point <= 0xDCFF)
        *(*to)++ = (char)(point - 0xDC00);
    else
        *to = put_utf8(*to, point);
    return digits + 3;
}

char *json_string(const char *value) {
    static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *end = value && *value == '"' ? json_end(value) : NULL;
    char *decoded = end ? malloc((size_t)(end - value)) : NULL, *to = decoded;

    if (!decoded)
        return NULL;
    for (const char *from = value + 1; from < end - 1; from++) {
        const char *escape;
        if (*from != '\\') {
            *to++ = *from;
        } else if (*++from == 'u' && end - from > 5) {
            from = decode_point(from + 1, &to);
        } else {
            escape = strchr(escapes, *from);
            *to++ = escape ? meanings[escape - escapes] : *from;
        }
    }
    *to = 0;
    return decoded;
}
