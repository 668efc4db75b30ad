/*
 * bare_loop.c
 *	  What libcurl alone can do: so many GETs of one URL, so many at once, with
 *	  one multi handle.  Prints requests a second.
 *
 *	  bare_loop URL CA_FILE TOTAL WIDTH
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static size_t
discard(char *bytes, size_t size, size_t count, void *argument)
{
	(void) bytes;
	(void) argument;
	return size * count;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static CURL *
request(const char *url, const char *ca_file)
{
	CURL *handle = curl_easy_init();

	curl_easy_setopt(handle, CURLOPT_URL, url);
	curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, discard);
	return handle;
}

/* Take the transfers that have ended, and start others with their handles; returns how many ended. */
static int
turn(CURLM *multi, int *left)
{
	CURLMsg *message;
	int ended = 0;
	int queued;

	while ((message = curl_multi_info_read(multi, &queued)) != NULL)
	{
		CURL *handle = message->easy_handle;

		if (message->data.result != CURLE_OK)
		{
			fprintf(stderr, "%s\n", curl_easy_strerror(message->data.result));
			exit(1);
		}
		curl_multi_remove_handle(multi, handle);
		ended++;
		if ((*left)-- > 0)
			curl_multi_add_handle(multi, handle);
	}
	return ended;
}

int
main(int argc, char **argv)
{
	CURLM *multi;
	int total;
	int width;
	int left;
	int done = 0;
	int running;
	double start;

	if (argc != 5)
		return 2;
	total = atoi(argv[3]);
	width = atoi(argv[4]);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) width);
	start = now();
	for (int i = 0; i < width; i++)
		curl_multi_add_handle(multi, request(argv[1], argv[2]));
	left = total - width;
	while (done < total)
	{
		curl_multi_perform(multi, &running);
		done += turn(multi, &left);
		if (done < total)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	printf("%.0f\n", total / (now() - start));
	return 0;
}
