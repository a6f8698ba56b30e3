/*
 * Files of the operators' that filters may read: colour tables, curves, fonts.
 *
 * No option may name a path (policy.h). Where a filter reads a file, its option takes a handle
 * instead, which is written "asset:film.cube": the name of a file in the one folder that the plan
 * was told of. A name has no way out of that folder: its parts are letters, digits, "_", "-", ","
 * "+", spaces and dots, none of them begins with a dot, and what it leads to, links followed, must
 * be a regular file inside. The path is only made where the filter is, and shown nowhere.
 */
#ifndef LUMA_ENGINE_ASSET_H
#define LUMA_ENGINE_ASSET_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/error.h"

/* The name in an option's value, or NULL if it is no handle. */
const char *asset_name(const char *value);

/* The option of a filter reads a file, and nothing but reads it. */
bool asset_allowed(const char *filter, const char *option);

/* Writes the path of an asset. folder may be NULL: then there are none. */
int asset_path(const char *folder, const char *name, char *path, size_t size, struct error *e);

#endif
