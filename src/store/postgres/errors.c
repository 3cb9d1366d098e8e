// SPDX-License-Identifier: Apache-2.0
// What PostgreSQL's error codes mean for the caller and for the connection.
#include <stdio.h>

#include "store/postgres/private.h"

// Its words on one line, without values (those are in the detail, which is not taken).
static void keep_words(struct postgres_conn *c, const PGresult *result, const char *state)
{
	const char *text = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	if (text == NULL)
		text = PQerrorMessage(c->pg);
	snprintf(c->base.words, sizeof(c->base.words), "%.200s%s%s", text, state[0] != '\0' ? " " : "", state);
	for (char *p = c->base.words; *p != '\0'; p++)
		*p = (unsigned char)*p < ' ' ? ' ' : *p;
}

enum ms_err ms_postgres_lost(struct postgres_conn *c, const char *why, struct errinfo *info)
{
	c->base.fate = STORE_FATE_BROKEN;
	snprintf(c->base.words, sizeof(c->base.words), "%s", why);
	return ms_fail(info, MS_ERR_STORE_GONE, "the connection to the database was lost; try again later");
}

enum meaning { REFUSED, CONFLICT, AGAIN, BROKEN, FULL, MEMORY, SLOW, UNTRANSLATABLE };

static const struct {
	const char *prefix; // of the SQLSTATE
	enum meaning meaning;
} meanings[] = {
	{"40001", AGAIN},  // serialization_failure
	{"40P01", AGAIN},  // deadlock_detected
	{"23", CONFLICT},  // integrity_constraint_violation
	{"08", BROKEN},    // connection_exception
	{"57P", BROKEN},   // the server goes down, or comes up
	{"25P03", BROKEN}, // idle_in_transaction_session_timeout: it has closed the connection
	{"26000", BROKEN}, // a statement that was prepared is not there: something between us and the server changed it
	{"53100", FULL},   // disk_full
	{"53200", MEMORY}, // out_of_memory
	{"57014", SLOW},   // query_canceled: statement_timeout
	{"55P03", SLOW},   // lock_not_available: lock_timeout
	{"22021", UNTRANSLATABLE}, // character_not_in_repertoire
};

static enum meaning meaning_of(const struct postgres_conn *c, const PGresult *result, const char *state)
{
	if (PQstatus(c->pg) == CONNECTION_BAD)
		return BROKEN;
	// A server that became a standby; a better one may have taken its place.
	if (strcmp(state, "25006") == 0 && c->writes)
		return BROKEN;
	// A migration changed the table under a prepared statement: a new connection prepares it anew.
	const char *place = result != NULL ? PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION) : NULL;
	if (strcmp(state, "0A000") == 0 && place != NULL && strcmp(place, "RevalidateCachedQuery") == 0)
		return BROKEN;
	for (size_t i = 0; i < MS_ARRAY_LEN(meanings); i++) {
		if (strncmp(state, meanings[i].prefix, strlen(meanings[i].prefix)) == 0)
			return meanings[i].meaning;
	}
	return REFUSED;
}

enum ms_err ms_postgres_fail(struct postgres_conn *c, const PGresult *result, struct errinfo *info)
{
	const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	state = state != NULL ? state : "";
	keep_words(c, result, state);
	switch (meaning_of(c, result, state)) {
	case CONFLICT:
		return ms_fail(info, MS_ERR_STORE_CONFLICT,
			       "another entry has the same key, or an entry that this one refers to is missing");
	case AGAIN:
		c->base.fate = STORE_FATE_RETRY;
		return ms_fail(info, MS_ERR_BUSY, "others changed the same entries at the same time; try again later");
	case BROKEN:
		c->base.fate = STORE_FATE_BROKEN;
		return ms_fail(info, MS_ERR_STORE_GONE, "the connection to the database was lost; try again later");
	case FULL:
		return ms_fail(info, MS_ERR_NO_SPACE, "there is no space left for the database; nothing was changed");
	case MEMORY:
		return ms_fail(info, MS_ERR_NO_MEMORY, "the database is out of memory");
	case SLOW:
		return ms_fail(info, MS_ERR_BUSY, "the database took too long; nothing was changed");
	case UNTRANSLATABLE:
		return ms_fail(info, MS_ERR_INVALID, "a text is not valid UTF-8");
	case REFUSED:
		break;
	}
	return ms_fail(info, MS_ERR_STORE, "the database refused a statement; the log has its words");
}
