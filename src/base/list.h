// SPDX-License-Identifier: Apache-2.0
// An intrusive doubly linked list: the node lives inside the object, nothing is allocated.
#ifndef MS_BASE_LIST_H
#define MS_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct list_node {
	struct list_node *prev;
	struct list_node *next;
};

struct list {
	struct list_node head; // sentinel
	size_t count;
};

static inline void ms_list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
	l->count = 0;
}

static inline bool ms_list_empty(const struct list *l)
{
	return l->count == 0;
}

static inline void ms_list_append(struct list *l, struct list_node *node)
{
	node->prev = l->head.prev;
	node->next = &l->head;
	l->head.prev->next = node;
	l->head.prev = node;
	l->count++;
}

static inline void ms_list_remove(struct list *l, struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
	l->count--;
}

// The first node, or NULL.
static inline struct list_node *ms_list_first(const struct list *l)
{
	return l->count > 0 ? l->head.next : NULL;
}

static inline struct list_node *ms_list_pop(struct list *l)
{
	struct list_node *node = ms_list_first(l);
	if (node != NULL)
		ms_list_remove(l, node);
	return node;
}

// Removal of the current node inside the loop is allowed.
#define MS_LIST_FOREACH(node, l)                                                                     \
	for (struct list_node *node = (l)->head.next, *node##_next = node->next; node != &(l)->head; \
	     node = node##_next, node##_next = node->next)

#endif
