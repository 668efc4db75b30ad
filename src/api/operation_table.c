/*
 * operation_table.c
 *	  Every operation of Canopy's OpenAPI description, and Summit's.
 *
 * Data only.  A parameter {teamId} is not listed: it comes from the server's
 * option.  Classes and flags are ours; all else is as documented.
 */
#include "postgres.h"

#include "api/operation.h"
#include "server/provider.h"

/* clang-format off */
const Operation operation_table[] = {
	{
		.name = "get-pull-by-id", .method = "GET",
		.path = "/teams/{teamId}/pulls/{pullId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.unwrap = "pull",
		.errors = "400 NOT_FOUND VALIDATION_ERROR; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true},
			{"withPropertyData", PARAM_QUERY, TYPE_BOOLEAN, false},
		},
	},
	{
		.name = "patch-pull-by-id", .method = "PATCH",
		.path = "/teams/{teamId}/pulls/{pullId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_IDEMPOTENT,
		.errors = "400 INCORRECT_API_KEY_TYPE INVALID_INPUT; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true},
			{"is_archived", PARAM_BODY, TYPE_BOOLEAN, false},
		},
	},
	{
		.name = "get-pulls", .method = "GET",
		.path = "/teams/{teamId}/pulls",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.unwrap = "pulls",
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE",
		.params = {
			{"since", PARAM_QUERY, TYPE_MOMENT, false},
			{"before", PARAM_QUERY, TYPE_MOMENT, false},
			{"limit", PARAM_QUERY, TYPE_INTEGER, false},
			{"offset", PARAM_QUERY, TYPE_INTEGER, false},
		},
	},
	{
		.name = "get-document-by-id", .method = "GET",
		.path = "/teams/{teamId}/pulls/{pullId}/documents/{documentId}/pdf",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE,
		.flags = OPERATION_PERSONAL | OPERATION_DEPRECATED, .envelope = ENVELOPE_BINARY,
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"documentId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "download-document-by-id", .method = "GET",
		.path = "/teams/{teamId}/pulls/{pullId}/documents/{documentId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.envelope = ENVELOPE_REDIRECT,
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"documentId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "download-file-by-id", .method = "GET",
		.path = "/teams/{teamId}/pulls/{pullId}/answers/{answerId}/files/{fileId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.envelope = ENVELOPE_REDIRECT,
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"answerId", PARAM_PATH, TYPE_TEXT, true},
			{"fileId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "post-pull-policy-check", .method = "POST",
		.path = "/teams/{teamId}/pulls/{pullId}/policyCheck",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_UNSAFE, .flags = OPERATION_PERSONAL,
		.unwrap = "pull",
		.errors = "400 INVALID_INPUT; 401 UNAUTHORIZED; 403 FORBIDDEN; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true},
			{"policy_check_settings", PARAM_BODY, TYPE_OBJECT, false},
			{"filters", PARAM_BODY, TYPE_OBJECT, false},
		},
	},
	{
		.name = "get-pull-policy-check-pdf", .method = "GET",
		.path = "/teams/{teamId}/pulls/{pullId}/policyCheck/pdf",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:pulls", .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.envelope = ENVELOPE_BINARY,
		.errors = "400 INVALID_INPUT; 401 UNAUTHORIZED; 403 FORBIDDEN; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "post-consent", .method = "POST",
		.path = "/consent",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:whitelabel", .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.errors = "400 MISSING_DEVICE_IDENTIFIER INVALID_CONSENT_LANGUAGE "
			"CONSENT_LANGUAGE_TOO_LONG; 401 UNAUTHORIZED; 404 INVALID_PRIVACY_POLICY_TERM_ID",
		.params = {
			{"device_identifier", PARAM_BODY, TYPE_TEXT, true},
			{"terms_version", PARAM_BODY, TYPE_INTEGER, true},
			{"consent_language", PARAM_BODY, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-webhooks", .method = "GET",
		.path = "/teams/{teamId}/webhooks",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:webhooks", .class = OPERATION_SAFE, .flags = OPERATION_SECRET,
		.unwrap = "webhooks",
		.errors = "401 UNAUTHORIZED; 403 UNAUTHORIZED",
	},
	{
		.name = "post-webhooks", .method = "POST",
		.path = "/teams/{teamId}/webhooks",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:webhooks", .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.errors = "400 INVALID_URL INVALID_EVENT_TYPE; 401 UNAUTHORIZED; 403 UNAUTHORIZED",
		.params = {
			{"hookUrl", PARAM_BODY, TYPE_TEXT, false},
			{"eventTypes", PARAM_BODY, TYPE_ARRAY, false},
		},
	},
	{
		.name = "patch-webhook", .method = "PATCH",
		.path = "/teams/{teamId}/webhooks/{webhookId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:webhooks", .class = OPERATION_IDEMPOTENT,
		.errors = "400 NOT_FOUND INVALID_IS_ACTIVE INVALID_EVENT_TYPE INVALID_WEBHOOK_ID; 401 "
			"UNAUTHORIZED; 403 UNAUTHORIZED",
		.params = {
			{"webhookId", PARAM_PATH, TYPE_TEXT, true},
			{"isActive", PARAM_BODY, TYPE_BOOLEAN, false},
			{"eventTypes", PARAM_BODY, TYPE_ARRAY, false},
		},
	},
	{
		.name = "delete-webhook", .method = "DELETE",
		.path = "/teams/{teamId}/webhooks/{webhookId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:webhooks", .class = OPERATION_IDEMPOTENT, .flags = OPERATION_DESTRUCTIVE,
		.errors = "400 INVALID_WEBHOOK_ID; 401 UNAUTHORIZED; 403 UNAUTHORIZED",
		.params = {
			{"webhookId", PARAM_PATH, TYPE_TEXT, true},
			{"confirm", PARAM_CONFIRM, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-monitorings", .method = "GET",
		.path = "/teams/{teamId}/monitorings",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .unwrap = "monitorings",
		.errors = "401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE",
		.params = {
			{"limit", PARAM_QUERY, TYPE_INTEGER, false}, {"before", PARAM_QUERY, TYPE_TEXT, false},
			{"pull_id", PARAM_QUERY, TYPE_TEXT, false},
			{"account_identifier", PARAM_QUERY, TYPE_TEXT, false},
			{"status", PARAM_QUERY, TYPE_TEXT, false, "ACTIVE,STOPPED"},
		},
	},
	{
		.name = "post-monitoring", .method = "POST",
		.path = "/teams/{teamId}/monitorings",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE, .unwrap = "monitoring",
		.reconcile = "get-monitorings",
		.errors = "400 INVALID_INPUT INCORRECT_API_KEY_TYPE PULL_TOO_OLD PULL_NOT_SUCCESS "
			"PULL_NOT_SUPPORTED; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"interval", PARAM_BODY, TYPE_TEXT, true},
			{"next_pull_date", PARAM_BODY, TYPE_MOMENT, false},
			{"stop_after_date", PARAM_BODY, TYPE_MOMENT, false},
			{"pull_id", PARAM_BODY, TYPE_TEXT, true},
		},
	},
	{
		.name = "patch-monitoring", .method = "PATCH",
		.path = "/teams/{teamId}/monitorings/{monitoringId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_IDEMPOTENT, .unwrap = "monitoring",
		.errors = "400 INVALID_MONITORING_ID INCORRECT_API_KEY_TYPE INVALID_INTERVAL "
			"INTERVAL_TOO_SHORT INVALID_STOP_AFTER; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE; "
			"404 NOT_FOUND",
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
			{"interval", PARAM_BODY, TYPE_TEXT, false},
			{"next_pull_date", PARAM_BODY, TYPE_MOMENT, false},
			{"stop_after_date", PARAM_BODY, TYPE_MOMENT, false},
			{"status", PARAM_BODY, TYPE_TEXT, false},
		},
	},
	{
		.name = "delete-monitoring", .method = "DELETE",
		.path = "/teams/{teamId}/monitorings/{monitoringId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_IDEMPOTENT, .unwrap = "monitoring",
		.errors = "400 INVALID_MONITORING_ID INCORRECT_API_KEY_TYPE; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-monitoring", .method = "GET",
		.path = "/teams/{teamId}/monitorings/{monitoringId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.errors = "400 INVALID_MONITORING_ID INCORRECT_API_KEY_TYPE; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
			{"with_pulls", PARAM_QUERY, TYPE_BOOLEAN, false, "true"},
			{"limit", PARAM_QUERY, TYPE_INTEGER, false}, {"before", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "get-monitoring-reconnect-token", .method = "GET",
		.path = "/teams/{teamId}/monitorings/{monitoringId}/reconnectToken",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_SECRET,
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "post-monitoring-refresh", .method = "POST",
		.path = "/teams/{teamId}/monitorings/{monitoringId}/refresh",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE, .flags = OPERATION_BILLABLE,
		.errors = "400 CURRENTLY_REFRESHING MONITORING_INACTIVE PULL_NOT_SUPPORTED; 404 NOT_FOUND",
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-monitoring-events", .method = "GET",
		.path = "/teams/{teamId}/monitorings/{monitoringId}/events",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.params = {
			{"monitoringId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-policy-form-by-id", .method = "GET",
		.path = "/policyforms/{policyFormId}/pdf",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_DEPRECATED,
		.envelope = ENVELOPE_BINARY,
		.errors = "400 VALIDATION_ERROR; 404 NOT_FOUND",
		.params = {
			{"policyFormId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "download-policy-form-by-id", .method = "GET",
		.path = "/teams/{teamId}/policyForms/{policyFormId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .envelope = ENVELOPE_REDIRECT,
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"policyFormId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-tos", .method = "GET",
		.path = "/tos",
		.auth = OPERATION_AUTH_NONE, .class = OPERATION_SAFE,
	},
	{
		.name = "post-consent-and-connect", .method = "POST",
		.path = "/widget/pull/consentAndConnect",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:whitelabel", .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.reconcile = "get-pulls",
		.errors = "400 MISSING_DEVICE_IDENTIFIER INVALID_CONSENT_LANGUAGE INVALID_PUBLIC_ALIAS "
			"INCORRECT_API_KEY_TYPE UNSUPPORTED_INSURER INVALID_USERNAME INVALID_PASSWORD "
			"INVALID_THIRDFIELD CONSENT_LANGUAGE_TOO_LONG INVALID_SERVICING_ACTIONS "
			"MISSING_SERVICING_ACTIONS; 401 UNAUTHORIZED; 404 INVALID_PRIVACY_POLICY_TERM_ID",
		.params = {
			{"device_identifier", PARAM_BODY, TYPE_TEXT, true},
			{"terms_version", PARAM_BODY, TYPE_INTEGER, true},
			{"consent_language", PARAM_BODY, TYPE_TEXT, true},
			{"public_alias", PARAM_BODY, TYPE_TEXT, true},
			{"meta_data", PARAM_BODY, TYPE_OBJECT, false},
			{"insurerName", PARAM_BODY, TYPE_TEXT, true},
			{"insurerUsername", PARAM_BODY, TYPE_TEXT, true, .secret = true},
			{"insurerPassword", PARAM_BODY, TYPE_TEXT, false, .secret = true},
			{"insurerThirdField", PARAM_BODY, TYPE_TEXT, false, .secret = true},
			{"servicing_actions", PARAM_BODY, TYPE_ARRAY, false},
			{"refresh_reason", PARAM_BODY, TYPE_TEXT, false, "UPCOMING_MONITORING,UPCOMING_SERVICING"},
		},
	},
	{
		.name = "post-consent-and-documents", .method = "POST",
		.path = "/widget/pull/consentAndDocuments",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE, .content = CONTENT_MULTIPART,
		.reconcile = "get-pulls",
		.errors = "400 MISSING_DEVICE_IDENTIFIER INVALID_CONSENT_LANGUAGE INVALID_PUBLIC_ALIAS "
			"INCORRECT_API_KEY_TYPE UNSUPPORTED_INSURER CONSENT_LANGUAGE_TOO_LONG "
			"DOCUMENT_UPLOAD_DISABLED COULD_NOT_CREATE; 401 UNAUTHORIZED; 404 "
			"INVALID_PRIVACY_POLICY_TERM_ID",
		.params = {
			{"device_identifier", PARAM_BODY, TYPE_TEXT, true},
			{"terms_version", PARAM_BODY, TYPE_INTEGER, true},
			{"consent_language", PARAM_BODY, TYPE_TEXT, true},
			{"public_alias", PARAM_BODY, TYPE_TEXT, true},
			{"meta_data", PARAM_BODY, TYPE_OBJECT, false},
			{"insurerName", PARAM_BODY, TYPE_TEXT, false},
			{"documents", PARAM_BODY, TYPE_FILES, true, .secret = true},
		},
	},
	{
		.name = "post-connect", .method = "POST",
		.path = "/widget/pull/{pullId}/connect",
		.auth = OPERATION_AUTH_PULL_JWT, .scope = "write:whitelabel", .class = OPERATION_UNSAFE,
		.errors = "400 INVALID_INPUT UNSUPPORTED_INSURER; 403 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"pull-jwt", PARAM_HEADER, TYPE_TEXT, true, .secret = true},
			{"insurerName", PARAM_BODY, TYPE_TEXT, true},
			{"insurerUsername", PARAM_BODY, TYPE_TEXT, true, .secret = true},
			{"insurerPassword", PARAM_BODY, TYPE_TEXT, false, .secret = true},
			{"insurerThirdField", PARAM_BODY, TYPE_TEXT, false, .secret = true},
		},
	},
	{
		.name = "get-carriers", .method = "GET",
		.path = "/carriers",
		.auth = OPERATION_AUTH_NONE, .class = OPERATION_SAFE,
		.errors = "401 UNAUTHORIZED",
		.params = {
			{"products", PARAM_QUERY, TYPE_TEXT, false},
			{"public_alias", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "get-carrier", .method = "GET",
		.path = "/carriers/{carrierId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE,
		.errors = "400 INVALID_STATUS; 404 NOT_FOUND",
		.params = {
			{"carrierId", PARAM_PATH, TYPE_TEXT, true},
			{"products", PARAM_QUERY, TYPE_TEXT, false},
			{"public_alias", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "post-idv", .method = "POST",
		.path = "/widget/pull/{pullId}/idv",
		.auth = OPERATION_AUTH_PULL_JWT, .scope = "write:whitelabel", .class = OPERATION_UNSAFE,
		.errors = "400 INVALID_INPUT INVALID_ACTION; 403 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"pull-jwt", PARAM_HEADER, TYPE_TEXT, true, .secret = true},
			{"mfaValue", PARAM_BODY, TYPE_TEXT, false, .secret = true},
		},
	},
	{
		.name = "post-idvoptions", .method = "POST",
		.path = "/widget/pull/{pullId}/idvoptions",
		.auth = OPERATION_AUTH_PULL_JWT, .scope = "write:whitelabel", .class = OPERATION_UNSAFE,
		.errors = "400 INVALID_INPUT INVALID_ACTION; 403 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"pull-jwt", PARAM_HEADER, TYPE_TEXT, true, .secret = true},
			{"optionKey", PARAM_BODY, TYPE_TEXT, false},
		},
	},
	{
		.name = "post-reconnect-token", .method = "POST",
		.path = "/widget/pull/reconnectToken",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:whitelabel", .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.errors = "400 INVALID_RECONNECT_TOKEN INCORRECT_API_KEY_TYPE MONITORING_INACTIVE "
			"PULL_NOT_SUPPORTED NEWER_PULL_AVAILABLE ALREADY_RECONNECTED UNSUPPORTED_CARRIER; 403 "
			"UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"reconnect_token", PARAM_BODY, TYPE_TEXT, true, .secret = true},
		},
	},
	{
		.name = "get-servicings", .method = "GET",
		.path = "/teams/{teamId}/servicings",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.unwrap = "servicings",
		.errors = "400 INVALID_INPUT; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE UNAUTHORIZED",
		.params = {
			{"limit", PARAM_QUERY, TYPE_INTEGER, false},
			{"offset", PARAM_QUERY, TYPE_INTEGER, false},
			{"pull_id", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "post-servicings", .method = "POST",
		.path = "/teams/{teamId}/servicings",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.reconcile = "get-servicings",
		.errors = "400 INVALID_INPUT PULL_TOO_OLD INVALID_USERNAME; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pull_id", PARAM_BODY, TYPE_TEXT, true},
			{"servicing_actions", PARAM_BODY, TYPE_ARRAY, true},
		},
	},
	{
		.name = "get-servicing", .method = "GET",
		.path = "/teams/{teamId}/servicings/{servicingActionId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.errors = "400 INVALID_INPUT; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE UNAUTHORIZED; "
			"404 NOT_FOUND",
		.params = {
			{"servicingActionId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "post-servicing-action", .method = "POST",
		.path = "/widget/pull/{pullId}/servicingAction",
		.auth = OPERATION_AUTH_PULL_JWT, .scope = "write:whitelabel", .class = OPERATION_UNSAFE,
		.errors = "400 INVALID_INPUT INVALID_ACTION; 403 UNAUTHORIZED; 404 NOT_FOUND",
		.params = {
			{"pullId", PARAM_PATH, TYPE_TEXT, true}, {"pull-jwt", PARAM_HEADER, TYPE_TEXT, true, .secret = true},
			{"servicing_action_id", PARAM_BODY, TYPE_TEXT, true},
			{"is_confirmed", PARAM_BODY, TYPE_BOOLEAN, true},
		},
	},
	{
		.name = "get-health", .method = "GET",
		.path = "/health",
		.auth = OPERATION_AUTH_NONE, .class = OPERATION_SAFE, .flags = OPERATION_ANSWERS_500,
	},
	{
		.name = "get-property-data", .method = "GET",
		.path = "/teams/{teamId}/enrich/propertyData",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:property_lookup", .class = OPERATION_SAFE,
		.flags = OPERATION_PERSONAL | OPERATION_BILLABLE,
		.errors = "400 INVALID_ADDRESS; 404 NO_PROPERTY_DATA",
		.params = {
			{"address", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "get-enrichment-driverlicense", .method = "GET",
		.path = "/teams/{teamId}/enrich/driverLicense",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:driver_license_lookup", .class = OPERATION_SAFE,
		.flags = OPERATION_PERSONAL | OPERATION_BILLABLE,
		.params = {
			{"first_name", PARAM_QUERY, TYPE_TEXT, true},
			{"middle_name", PARAM_QUERY, TYPE_TEXT, false},
			{"last_name", PARAM_QUERY, TYPE_TEXT, true},
			{"date_of_birth_str", PARAM_QUERY, TYPE_TEXT, true},
			{"address", PARAM_QUERY, TYPE_TEXT, true}, {"purpose", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_name", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_job_function", PARAM_QUERY, TYPE_TEXT, true},
		},
	},
	{
		.name = "get-enrichment-drivingrecordiq", .method = "GET",
		.path = "/teams/{teamId}/enrich/drivingRecordIq",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:driving_record_iq_lookup", .class = OPERATION_SAFE,
		.flags = OPERATION_PERSONAL | OPERATION_BILLABLE,
		.params = {
			{"first_name", PARAM_QUERY, TYPE_TEXT, true},
			{"middle_name", PARAM_QUERY, TYPE_TEXT, false},
			{"last_name", PARAM_QUERY, TYPE_TEXT, true}, {"address", PARAM_QUERY, TYPE_TEXT, true},
			{"purpose", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_name", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_job_function", PARAM_QUERY, TYPE_TEXT, true},
			{"date_of_birth_str", PARAM_QUERY, TYPE_TEXT, false},
			{"drivers_license", PARAM_QUERY, TYPE_TEXT, false},
			{"drivers_license_state", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "get-enrichment-household", .method = "GET",
		.path = "/teams/{teamId}/enrich/household",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:household_lookup", .class = OPERATION_SAFE,
		.flags = OPERATION_PERSONAL | OPERATION_BILLABLE,
		.params = {
			{"first_name", PARAM_QUERY, TYPE_TEXT, true},
			{"middle_name", PARAM_QUERY, TYPE_TEXT, false},
			{"last_name", PARAM_QUERY, TYPE_TEXT, true}, {"address", PARAM_QUERY, TYPE_TEXT, true},
			{"lookup_vehicles", PARAM_QUERY, TYPE_BOOLEAN, false},
			{"purpose", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_name", PARAM_QUERY, TYPE_TEXT, true},
			{"employee_job_function", PARAM_QUERY, TYPE_TEXT, true},
			{"date_of_birth_str", PARAM_QUERY, TYPE_TEXT, false},
			{"drivers_license", PARAM_QUERY, TYPE_TEXT, false},
			{"drivers_license_state", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "post-policy-search", .method = "POST",
		.path = "/teams/{teamId}/policySearch",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE,
		.flags = OPERATION_BILLABLE | OPERATION_SECRET, .reconcile = "get-pulls",
		.errors = "400 INVALID_INPUT INVALID_PUBLIC_ALIAS INCORRECT_API_KEY_TYPE "
			"INVALID_POLICY_LOOKUP_DATA; 403 FORBIDDEN; 500 INTERNAL_ERROR",
		.params = {
			{"device_identifier", PARAM_BODY, TYPE_TEXT, true},
			{"terms_version", PARAM_BODY, TYPE_INTEGER, true},
			{"consent_language", PARAM_BODY, TYPE_TEXT, true},
			{"public_alias", PARAM_BODY, TYPE_TEXT, true},
			{"insurerName", PARAM_BODY, TYPE_TEXT, true, "allstate,amfam,autoowners,farmers,nationwide,progressive,usaa"},
			{"searchType", PARAM_BODY, TYPE_TEXT, true, "AUTO_ID_CARD,AUTO_POLICY,HOME_POLICY"},
			{"searchData", PARAM_BODY, TYPE_OBJECT, true},
		},
	},
	{
		.name = "get-policy-check-team-settings", .method = "GET",
		.path = "/teams/{teamId}/policyChecks/settings",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:policy_checks", .class = OPERATION_SAFE, .unwrap = "policy_check_settings",
		.errors = "401 UNAUTHORIZED; 403 FORBIDDEN",
	},
	{
		.name = "post-policy-check-team-settings", .method = "POST",
		.path = "/teams/{teamId}/policyChecks/settings",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:policy_checks", .class = OPERATION_UNSAFE, .unwrap = "policy_check_settings",
		.errors = "400 INVALID_INPUT; 401 UNAUTHORIZED; 403 FORBIDDEN",
		.params = {
			{"policy_check_settings", PARAM_BODY, TYPE_OBJECT, false},
		},
	},
	{
		.name = "get-widgets", .method = "GET",
		.path = "/teams/{teamId}/widgets",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:widgets", .class = OPERATION_SAFE, .unwrap = "widgets",
		.errors = "400 VALIDATION_ERROR; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE",
		.params = {
			{"limit", PARAM_QUERY, TYPE_INTEGER, false}, {"before", PARAM_QUERY, TYPE_TEXT, false},
		},
	},
	{
		.name = "post-widgets", .method = "POST",
		.path = "/teams/{teamId}/widgets",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:widgets", .class = OPERATION_UNSAFE, .unwrap = "widget",
		.errors = "400 INVALID_INPUT WIDGET_RESTRICTED_API_KEY INVALID_AGENT_ID "
			"WIDGET_LIMIT_EXCEEDED ALREADY_EXISTS; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE",
		.params = {
			{"intro_title", PARAM_BODY, TYPE_TEXT, false},
			{"public_alias", PARAM_BODY, TYPE_TEXT, false},
			{"company_name", PARAM_BODY, TYPE_TEXT, false},
			{"brand_color_hex", PARAM_BODY, TYPE_TEXT, false},
			{"success_message", PARAM_BODY, TYPE_TEXT, false},
			{"on_success_redirect_url", PARAM_BODY, TYPE_TEXT, false},
			{"cobranded_intro_screen", PARAM_BODY, TYPE_BOOLEAN, false},
			{"agents", PARAM_BODY, TYPE_ANY, false},
		},
	},
	{
		.name = "get-widgetId", .method = "GET",
		.path = "/teams/{teamId}/widgets/{widgetId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "read:widgets", .class = OPERATION_SAFE, .unwrap = "widget",
		.errors = "400 INCORRECT_API_KEY_TYPE; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE; 404 "
			"NOT_FOUND",
		.params = {
			{"widgetId", PARAM_PATH, TYPE_TEXT, true},
		},
	},
	{
		.name = "patch-widgetId", .method = "PATCH",
		.path = "/teams/{teamId}/widgets/{widgetId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:widgets", .class = OPERATION_IDEMPOTENT, .unwrap = "widget",
		.errors = "400 INCORRECT_API_KEY_TYPE INVALID_INPUT INVALID_AGENT_ID ALREADY_EXISTS; 401 "
			"UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"widgetId", PARAM_PATH, TYPE_TEXT, true},
			{"intro_title", PARAM_BODY, TYPE_TEXT, false},
			{"public_alias", PARAM_BODY, TYPE_TEXT, false},
			{"company_name", PARAM_BODY, TYPE_TEXT, false},
			{"brand_color_hex", PARAM_BODY, TYPE_TEXT, false},
			{"success_message", PARAM_BODY, TYPE_TEXT, false},
			{"on_success_redirect_url", PARAM_BODY, TYPE_TEXT, false},
			{"cobranded_intro_screen", PARAM_BODY, TYPE_BOOLEAN, false},
			{"agents", PARAM_BODY, TYPE_ANY, false},
		},
	},
	{
		.name = "delete-widgetId", .method = "DELETE",
		.path = "/teams/{teamId}/widgets/{widgetId}",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:widgets", .class = OPERATION_IDEMPOTENT, .flags = OPERATION_DESTRUCTIVE,
		.errors = "400 INCORRECT_API_KEY_TYPE; 401 UNAUTHORIZED; 403 SUBSCRIPTION_INACTIVE; 404 "
			"NOT_FOUND",
		.params = {
			{"widgetId", PARAM_PATH, TYPE_TEXT, true}, {"confirm", PARAM_CONFIRM, TYPE_TEXT, true},
		},
	},
	{
		.name = "put-widgetId-logo", .method = "PUT",
		.path = "/teams/{teamId}/widgets/{widgetId}/logo",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:widgets", .class = OPERATION_IDEMPOTENT, .content = CONTENT_MULTIPART,
		.unwrap = "widget",
		.errors = "400 INCORRECT_API_KEY_TYPE INVALID_INPUT INVALID_IMAGE; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"widgetId", PARAM_PATH, TYPE_TEXT, true}, {"logo", PARAM_BODY, TYPE_FILE, false},
		},
	},
	{
		.name = "put-widgetId-icon", .method = "PUT",
		.path = "/teams/{teamId}/widgets/{widgetId}/icon",
		.auth = OPERATION_AUTH_TEAM, .scope = "write:widgets", .class = OPERATION_IDEMPOTENT, .content = CONTENT_MULTIPART,
		.unwrap = "widget",
		.errors = "400 INCORRECT_API_KEY_TYPE INVALID_INPUT INVALID_IMAGE; 401 UNAUTHORIZED; 403 "
			"SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"widgetId", PARAM_PATH, TYPE_TEXT, true}, {"icon", PARAM_BODY, TYPE_FILE, false},
		},
	},
	{
		.name = "get-team", .method = "GET",
		.path = "/teams/{teamId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_SAFE,
	},
	{
		.name = "delete-team", .method = "DELETE",
		.path = "/teams/{teamId}",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_IDEMPOTENT, .flags = OPERATION_DESTRUCTIVE,
		.errors = "403 SUBSCRIPTION_INACTIVE; 404 NOT_FOUND",
		.params = {
			{"confirm", PARAM_CONFIRM, TYPE_TEXT, true},
		},
	},
	{
		.name = "create-team", .method = "POST",
		.path = "/teams",
		.auth = OPERATION_AUTH_TEAM, .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.errors = "403 FORBIDDEN",
		.params = {
			{"company_name", PARAM_BODY, TYPE_TEXT, false},
		},
	},
	{
		.name = "create-token", .provider = PROVIDER_SUMMIT, .method = "POST",
		.path = "/oauth2/token",
		.auth = OPERATION_AUTH_CLIENT, .class = OPERATION_UNSAFE, .flags = OPERATION_SECRET,
		.content = CONTENT_FORM,
		.errors = "400 invalid_request; 401 unauthorized; 429 rate_limited; 500 server_error",
		.params = {
			{"grant_type", PARAM_BODY, TYPE_TEXT, true, "client_credentials"},
			{"scope", PARAM_BODY, TYPE_TEXT, true},
		},
	},
	{
		.name = "upload-policy", .provider = PROVIDER_SUMMIT, .method = "POST",
		.path = "/v1/policies",
		.auth = OPERATION_AUTH_BEARER, .class = OPERATION_KEYED, .flags = OPERATION_PERSONAL,
		.errors = "400 invalid_request; 401 unauthorized; 403 forbidden; 409 conflict; "
			"429 rate_limited; 500 server_error",
		.reconcile = "get-job",
		.params = {
			{"Idempotency-Key", PARAM_HEADER, TYPE_TEXT, true},
			{"policy", PARAM_BODY, TYPE_OBJECT, true},
			{"certificate_holder", PARAM_BODY, TYPE_OBJECT, true},
			{"documents", PARAM_BODY, TYPE_OBJECT, false},
		},
	},
	{
		.name = "get-job", .provider = PROVIDER_SUMMIT, .method = "GET",
		.path = "/v1/jobs/{jobId}",
		.auth = OPERATION_AUTH_BEARER, .class = OPERATION_SAFE, .flags = OPERATION_PERSONAL,
		.errors = "401 unauthorized; 403 forbidden; 404 not_found; 429 rate_limited; 500 server_error",
		.params = {
			{"jobId", PARAM_PATH, TYPE_TEXT, true},
		},
	},

	/* What Summit's guide calls an outbound webhook; `attempt` is added when one is made. */
	{
		.name = "post-delivery", .provider = PROVIDER_ENDPOINT, .method = "POST",
		.path = "",
		.auth = OPERATION_AUTH_SIGNATURE, .class = OPERATION_IDEMPOTENT,
		.flags = OPERATION_PERSONAL | OPERATION_SCHEDULED, .envelope = ENVELOPE_NONE,
		.errors = "",
		.params = {
			{"Idempotency-Key", PARAM_HEADER, TYPE_TEXT, true},
			{"delivery_id", PARAM_BODY, TYPE_TEXT, true},
			{"event", PARAM_BODY, TYPE_TEXT, true},
			{"occurred_at", PARAM_BODY, TYPE_MOMENT, true},
			{"data", PARAM_BODY, TYPE_OBJECT, true},
		},
	},
};
/* clang-format on */

const int operation_count = lengthof(operation_table);
