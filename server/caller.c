/*
 * Every configured token is compared with every one that is presented, all of its hash, so that
 * the time tells nothing of how much was right.
 */
#include "server/caller.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_FILE_MAX (1024 * 1024)

struct caller_token {
    char *name;
    unsigned char hash[SHA256_DIGEST_LENGTH];
};

static int refuse(struct config_error *error, const char *setting, const char *reason)
{
    (void)snprintf(error->message, sizeof(error->message), "%s: %s", setting, reason);
    return -1;
}

static int token_add(struct callers *callers, const char *setting, const char *text,
                     struct config_error *error)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return refuse(error, setting, "expected name:token");
    for (size_t i = 0; i < callers->count; i++) {
        if (strncmp(callers->tokens[i].name, text, (size_t)(colon - text)) == 0 &&
            callers->tokens[i].name[colon - text] == '\0')
            return refuse(error, setting, "a name is there twice");
    }
    struct caller_token *grown =
        realloc(callers->tokens, (callers->count + 1) * sizeof(*callers->tokens));
    if (!grown)
        return refuse(error, setting, "out of memory");
    callers->tokens = grown;
    struct caller_token *token = &grown[callers->count];
    token->name = strndup(text, (size_t)(colon - text));
    if (!token->name)
        return refuse(error, setting, "out of memory");
    SHA256((const unsigned char *)colon + 1, strlen(colon + 1), token->hash);
    callers->count++;
    return 0;
}

/* Each non-empty item of the text; the text is cut in place. */
static int tokens_add(struct callers *callers, const char *setting, char *text,
                      const char *separators, struct config_error *error)
{
    char *rest = text, *item;
    while ((item = strsep(&rest, separators))) {
        while (isspace((unsigned char)*item))
            item++;
        size_t length = strlen(item);
        while (length > 0 && isspace((unsigned char)item[length - 1]))
            item[--length] = '\0';
        if (*item && *item != '#' && token_add(callers, setting, item, error) < 0)
            return -1;
    }
    return 0;
}

int callers_init(struct callers *callers, const struct config *config, struct config_error *error)
{
    *callers = (struct callers){0};
    char *text = strdup(config->tokens);
    int status = text ? tokens_add(callers, "LUMA_TOKENS", text, ",", error) : -1;
    free(text);
    if (status < 0 || !*config->tokens_file)
        return status;

    FILE *stream = fopen(config->tokens_file, "re");
    if (!stream)
        return refuse(error, "LUMA_TOKENS_FILE", "the file can't be read");
    text = malloc(TOKENS_FILE_MAX + 1);
    size_t size = text ? fread(text, 1, TOKENS_FILE_MAX, stream) : 0;
    if (text) {
        text[size] = '\0';
        status = tokens_add(callers, "LUMA_TOKENS_FILE", text, "\n", error);
        OPENSSL_cleanse(text, size);
    }
    (void)fclose(stream);
    free(text);
    if (status == 0 && callers->count == 0)
        return refuse(error, "LUMA_TOKENS_FILE", "there is no token in it");
    return status;
}

void callers_finish(struct callers *callers)
{
    for (size_t i = 0; i < callers->count; i++)
        free(callers->tokens[i].name);
    free(callers->tokens);
    *callers = (struct callers){0};
}

bool callers_required(const struct callers *callers)
{
    return callers->count > 0;
}

const char *callers_find(const struct callers *callers, const char *token)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)token, strlen(token), hash);
    const char *name = NULL;
    for (size_t i = 0; i < callers->count; i++) {
        if (CRYPTO_memcmp(hash, callers->tokens[i].hash, sizeof(hash)) == 0)
            name = callers->tokens[i].name;
    }
    return name;
}

bool caller_list_has(const char *list, const char *item)
{
    size_t length = strlen(item);
    while (*list) {
        list += strspn(list, ", ");
        size_t size = strcspn(list, ",");
        size_t trimmed = size;
        while (trimmed > 0 && list[trimmed - 1] == ' ')
            trimmed--;
        if (trimmed == length && length > 0 && strncasecmp(list, item, length) == 0)
            return true;
        list += size;
    }
    return false;
}
