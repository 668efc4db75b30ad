/*
 * place.c
 *	  Where files that options and settings name may be: neither in the data
 *	  directory, which backups and replicas copy, nor among what the kernel shows
 *	  as files, such as a process's environment.
 *
 * A path says little of where its file is: links lead elsewhere, and
 * /proc/self/cwd is the data directory.  So what counts is the place of the file
 * that was opened.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/relpath.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "base/place.h"

static const char *const kernel_directories[] = {"/proc", "/sys", "/dev"};

#define PLACE_HINT \
	"Use a file outside the data directory, which backups copy, and outside /proc, /sys and /dev."

/* Where the data directory, or a directory below it that may be a link, really is. */
static const char *
data_place(int number)
{
	static const char *const names[] = {"", "pg_wal"};
	static char places[lengthof(names)][PATH_MAX];

	if (number >= lengthof(names))
		return NULL;
	if (places[number][0] == '\0')
	{
		char name[MAXPGPATH];

		snprintf(name, sizeof(name), "%s/%s", DataDir, names[number]);
		if (realpath(name, places[number]) == NULL)
			strlcpy(places[number], DataDir, sizeof(places[number]));
	}
	return places[number];
}

/* What is wrong with the place that a canonical path names; NULL if nothing is. */
const char *
place_problem(const char *path)
{
	const char *place;

	for (int i = 0; i < lengthof(kernel_directories); i++)
		if (path_is_prefix_of_path(kernel_directories[i], path))
			return "it is not a file on disk";
	if (path_is_prefix_of_path(DataDir, path))
		return "it is in the data directory";
	for (int i = 0; (place = data_place(i)) != NULL; i++)
		if (path_is_prefix_of_path(place, path))
			return "it is in the data directory";
	if (strstr(path, "/" TABLESPACE_VERSION_DIRECTORY "/") != NULL)
		return "it is in a tablespace";
	return NULL;
}

/*
 * Refuse a file by its place; `fd` is what was opened by the path, or -1.  A file
 * that is not there is left to who opens it.  Error: F0000.
 */
void
place_check(const char *what, const char *path, int fd)
{
	char place[PATH_MAX];
	struct stat opened;
	struct stat found;
	const char *problem = NULL;

	if (realpath(path, place) == NULL)
		problem = fd < 0 ? NULL : "it has just been moved";
	else if (fd >= 0 && (fstat(fd, &opened) != 0 || stat(place, &found) != 0 ||
						 opened.st_dev != found.st_dev || opened.st_ino != found.st_ino))
		problem = "it has just been moved";
	else
		problem = place_problem(place);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("cannot use %s \"%s\": %s", what, path, problem), errhint(PLACE_HINT)));
}

/*
 * The first `max` bytes of a small file, and a 0 after them, in the current memory
 * context; `check`, which may be NULL, refuses what was opened.  NULL if the file
 * cannot be opened and may be missing.  Errors: those of place_check() and of files.
 */
char *
place_read(const char *what, const char *path, size_t max, bool missing_ok,
		   void (*check)(const char *path, int fd), size_t *len)
{
	char *bytes;
	ssize_t got;
	int fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (fd < 0 && missing_ok)
		return NULL;
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not open %s \"%s\": %m", what, path),
				 errhint("The file must exist and be readable by the server's user.")));
	place_check(what, path, fd);
	if (check != NULL)
		check(path, fd);
	bytes = palloc(max + 1);
	*len = 0;
	while ((got = read(fd, bytes + *len, max - *len)) > 0)
		*len += got;
	if (got < 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not read %s \"%s\": %m", what, path)));
	CloseTransientFile(fd);
	bytes[*len] = '\0';
	return bytes;
}
