/*
 * secret.c
 *	  Secrets kept in files.
 *
 * A secret file is read at every use, so that rotation needs no DDL, and is
 * trusted only outside the data directory and under ssl_key_file's rule: owned by the server's user with no
 * access for group or world, or owned by root with at most read for the group.
 * Nothing read from it may appear in a message.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "nodes/pg_list.h"

#include "base/place.h"
#include "server/secret.h"

#define SECRET_FILE_MAX 65536 /* bytes */

/* Raise the error for a file whose contents cannot be used. */
static void
secret_refuse(const char *path, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("cannot use secret file \"%s\": %s", path, reason), errhint("%s", hint)));
}

/* Check owner and mode of the open file. */
static void
secret_check_access(const char *path, int fd)
{
	struct stat status;
	mode_t forbidden;

	if (fstat(fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not stat secret file \"%s\": %m", path)));
	if (!S_ISREG(status.st_mode))
		secret_refuse(path, "it is not a regular file", "Name a regular file.");
	if (status.st_uid != geteuid() && status.st_uid != 0)
		secret_refuse(path, "it must be owned by the server's user or by root",
					  "Change the owner of the file.");
	forbidden = status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
	if ((status.st_mode & forbidden) != 0)
		secret_refuse(path, "group or others have access to it",
					  "Use mode 0600, or 0640 if root owns the file.");
	if (status.st_size > SECRET_FILE_MAX)
		secret_refuse(path, "it is too large", "Keep one secret a line, 64 kB in all.");
}

/*
 * The lines of the file, first to last, as List of char *; each is one live
 * secret.  Errors: 42501 or 58P01 if it cannot be opened, F0000 if its owner,
 * mode or contents do not do.
 */
List *
secret_read_file(const char *path)
{
	List *secrets = NIL;
	size_t total;
	char *buffer =
		place_read("secret file", path, SECRET_FILE_MAX, false, secret_check_access, &total);

	for (char *line = buffer; line < buffer + total;)
	{
		size_t len = strcspn(line, "\n");
		char *next = line + len + 1;

		while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
			len--;
		if (len > 0)
			secrets = lappend(secrets, pnstrdup(line, len));
		line = next;
	}
	explicit_bzero(buffer, total);
	pfree(buffer);
	if (secrets == NIL)
		secret_refuse(path, "it holds no secret", "Write one secret a line.");
	return secrets;
}
