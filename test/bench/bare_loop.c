/*
 * bare_loop.c
 *	  What libcurl alone can do: GETs of the URLs on standard input, one a line, so
 *	  many at once, with one multi handle.  Prints requests a second.
 *
 *	  bare_loop CA_FILE WIDTH < URLS
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The next URL for a handle; 0 if there is none. */
static int
next_url(CURL *handle)
{
	char url[1024];

	if (fgets(url, sizeof(url), stdin) == NULL)
		return 0;
	url[strcspn(url, "\n")] = '\0';
	curl_easy_setopt(handle, CURLOPT_URL, url);
	return 1;
}

static CURL *
request(const char *ca_file)
{
	CURL *handle = curl_easy_init();

	curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, discard);
	return handle;
}

/* Take the transfers that have ended, and start others with their handles; returns how many ended. */
static int
turn(CURLM *multi, int *in_flight)
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
		(*in_flight)--;
		if (next_url(handle))
		{
			curl_multi_add_handle(multi, handle);
			(*in_flight)++;
		}
	}
	return ended;
}

int
main(int argc, char **argv)
{
	CURLM *multi;
	int in_flight = 0;
	int done = 0;
	int running;
	double start;

	if (argc != 3)
		return 2;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, atol(argv[2]));
	start = now();
	for (CURL *handle = request(argv[1]); in_flight < atoi(argv[2]) && next_url(handle); handle = request(argv[1]))
	{
		curl_multi_add_handle(multi, handle);
		in_flight++;
	}
	while (in_flight > 0)
	{
		curl_multi_perform(multi, &running);
		done += turn(multi, &in_flight);
		if (in_flight > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	printf("%.0f\n", done / (now() - start));
	return 0;
}
