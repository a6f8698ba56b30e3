/*
 * Where the scripts and the assets are, when nobody says: found once, from the environment or from
 * where the program itself lies. Call from one thread first (main); the results live for ever.
 */
#ifndef LUMA_LUA_PATHS_H
#define LUMA_LUA_PATHS_H

/* The folder of operation scripts: $LUMA_SCRIPTS, else beside the program (installed as
 * bin/luma with share/luma/scripts, or built in the tree). NULL if there is none. */
const char *paths_scripts(void);

/* The folder that av.asset() reads: $LUMA_ASSETS, else `assets` in the script folder. NULL if
 * there is none. */
const char *paths_assets(void);

#endif
