/*
 * canopy_summit.c
 *	  Module entry: settings, shared memory, the launcher, and nothing that
 *	  touches the network.
 *
 * libcurl must never be initialized here: preloaded, this runs in the
 * postmaster, which has to stay single-threaded.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "api/request.h"
#include "canopy/authorize.h"
#include "canopy/component_effect.h"
#include "canopy/consent_documents.h"
#include "canopy/document_effect.h"
#include "canopy/enrichment_effect.h"
#include "canopy/fetch_pull_effect.h"
#include "canopy/monitoring_effect.h"
#include "canopy/servicing_effect.h"
#include "canopy/sync.h"
#include "canopy/webhook_admin.h"
#include "engine/instance.h"
#include "http/clamd.h"
#include "job/billable.h"
#include "job/reconcile.h"
#include "job/retention.h"
#include "job/scanner.h"
#include "job/secret.h"
#include "process/database_list.h"
#include "process/launcher.h"
#include "process/receiver_launch.h"
#include "process/shared.h"
#include "process/wake.h"
#include "pull/remap.h"
#include "pull/rename.h"
#include "receiver/intake.h"
#include "receiver/receiver.h"
#include "server/connection.h"
#include "summit/export_feed.h"
#include "summit/delivery.h"
#include "summit/upload_effect.h"
#include "task/task.h"
#include "webhook/inbox.h"
#include "worker/apply_webhooks.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* The rooms' settings. */
static void
settings_define(void)
{
	instance_settings();
	connection_settings();
	clamd_settings();
	request_settings();
	shared_settings();
	database_list_settings();
	receiver_launch_settings();
	inbox_settings();
	receiver_settings();
	billable_settings();
	worker_settings();
	upload_settings();
	scanner_settings();
	MarkGUCPrefixReserved("canopy_summit");
}

/* What the jobs of operations do besides being sent. */
static void
handlers_register(void)
{
	fetch_effect_register();
	document_effect_register();
	sync_register();
	monitoring_effect_register();
	authorize_register();
	component_effect_register();
	consent_documents_register();
	servicing_effect_register();
	enrichment_effect_register();
	webhook_admin_register();
	upload_effect_register();
	delivery_register();
}

/* What workers do besides jobs. */
static void
chores_register(void)
{
	reconcile_register();
	retention_register();
	secret_register();
	apply_register();
	export_feed_register();
	task_register();
}

/* What tasks there are. */
static void
task_kinds_register(void)
{
	remap_register();
	rename_register();
	retention_kind_register();
}

/* What the receiver answers. */
static void
routes_register(void)
{
	intake_register();
}

void
_PG_init(void)
{
	settings_define();
	handlers_register();
	chores_register();
	task_kinds_register();
	routes_register();
	shared_initialize();
	wake_initialize();
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
		launcher_register();
}
