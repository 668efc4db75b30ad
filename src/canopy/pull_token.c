/*
 * pull_token.c
 *	  Tokens of pulls that answers to jobs bring: pull_id and pull_jwt of what makes a
 *	  pull, or takes one up again.
 */
#include "postgres.h"

#include "nodes/pg_list.h"

#include "api/answer.h"
#include "base/jsonb_get.h"
#include "canopy/pull_token.h"
#include "credential/pull_jwt.h"
#include "job/job.h"
#include "job/settlement.h"

/* Keep the tokens of answers, in the transaction that settles their jobs: a List of Settlement *. */
void
pull_tokens_keep(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const char *pull_id = json_text_field(settlement->answer->json, "pull_id");
		const char *pull_jwt = json_text_field(settlement->answer->json, "pull_jwt");

		if (pull_id != NULL && pull_jwt != NULL)
			pull_jwt_keep(settlement->job->server_oid, pull_id, pull_jwt);
	}
}
