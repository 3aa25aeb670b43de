/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.bpf.c - the kernel's half of a gate: four classifiers.
 *
 *	vif ingress  hold_out   what the guest sends: to the bridge, or into a capture TAP
 *	vif egress   hold_in    what arrives for it: to the guest, or into another
 *	TAP egress   take       lets only frames in that a hold sent there
 *	TAP ingress  give_back  what the agent writes: marked, to the vif it came from
 *
 * Shut, a frame is captured; past the deadline, or with the capture device gone
 * (the agent died), it passes and is counted as leaked: nothing is ever dropped
 * here but markers (marker.h), which go to an agent or nowhere.  A frame given
 * back carries MARK_BACK, passes its own gate, and loses the mark there, before
 * the bridge; so the gates cannot send it round.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "gate_map.h"

#define MARK_BACK 0xfe12a7a1
#define MARK_HELD 0xfe12a7a2

#define MAX_GATES 1024

/* from the kernel's include/linux/netdevice.h: enqueued, though something was dropped to make room */
#define NET_XMIT_CN 2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * MAX_GATES);
	/* without it an element is reused while a program still reads it */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct gate_key);
	__type(value, struct gate_conf);
} gate_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * MAX_GATES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct gate_key);
	__type(value, struct gate_live);
} gate_live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * MAX_GATES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32); /* ifindex of the capture device */
	__type(value, struct gate_key);
} gate_back SEC(".maps");

/* Counts the frame as captured if it has to be. */
static __always_inline bool must_capture(const struct gate_conf *conf, struct gate_live *live)
{
	bool capture;

	bpf_spin_lock(&live->lock);
	capture = conf->state == GATE_CONF_SHUT || live->captured + conf->offset != live->returned;
	if (capture)
		live->captured++;
	bpf_spin_unlock(&live->lock);
	return capture;
}

/* Only by its bytes, as the agent judges it: the two must agree, or the counts do not. */
static __always_inline bool is_marker(struct __sk_buff *skb)
{
	static const __u8 marker[] = { GATE_MARKER_ETHERTYPE >> 8, GATE_MARKER_ETHERTYPE & 0xff, GATE_MARKER_MAGIC };
	__u8 bytes[sizeof(marker)];

	/* a tag that is not in the bytes here will be when the agent reads them */
	if (skb->vlan_present || bpf_skb_load_bytes(skb, GATE_MARKER_AT, bytes, sizeof(bytes)) < 0)
		return false;
#pragma unroll
	for (unsigned i = 0; i < sizeof(marker); i++)
		if (bytes[i] != marker[i])
			return false;
	return true;
}

static __always_inline int pass_marker(struct __sk_buff *skb, const struct gate_live *live, __u32 dir)
{
	if (dir == GATE_DIR_OUT) {
		/* the agent's own; a guest has no business with them */
		if (skb->mark != MARK_BACK)
			return TC_ACT_SHOT;
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (live) {
		skb->mark = MARK_HELD;
		bpf_clone_redirect(skb, live->tap, 0);
	}
	return TC_ACT_STOLEN;
}

static __always_inline int hold(struct __sk_buff *skb, __u32 dir)
{
	struct gate_key key = { .ifindex = skb->ifindex, .dir = dir };
	struct gate_live *live = bpf_map_lookup_elem(&gate_live, &key);
	struct gate_conf *conf;
	long r;

	if (is_marker(skb))
		return pass_marker(skb, live, dir);
	if (!live)
		return TC_ACT_UNSPEC;
	if (skb->mark == MARK_BACK) {
		skb->mark = 0;
		if (dir == GATE_DIR_OUT) {
			bpf_spin_lock(&live->lock);
			live->returned++;
			bpf_spin_unlock(&live->lock);
		}
		return TC_ACT_UNSPEC;
	}
	conf = bpf_map_lookup_elem(&gate_conf, &key);
	if (!conf)
		return TC_ACT_UNSPEC;
	if (conf->deadline_ns && bpf_ktime_get_ns() >= conf->deadline_ns) {
		bpf_spin_lock(&live->lock);
		live->leaked++;
		bpf_spin_unlock(&live->lock);
		return TC_ACT_UNSPEC;
	}
	if (!must_capture(conf, live))
		return TC_ACT_UNSPEC;
	/* A clone, not a redirect: it tells when the device is gone, and the frame can still pass. */
	skb->mark = MARK_HELD;
	r = bpf_clone_redirect(skb, conf->tap, 0);
	skb->mark = 0;
	if (r == 0 || r == NET_XMIT_CN)
		return TC_ACT_STOLEN;
	bpf_spin_lock(&live->lock);
	live->captured--;
	live->leaked++;
	bpf_spin_unlock(&live->lock);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int hold_out(struct __sk_buff *skb)
{
	return hold(skb, GATE_DIR_OUT);
}

SEC("tc")
int hold_in(struct __sk_buff *skb)
{
	return hold(skb, GATE_DIR_IN);
}

SEC("tc")
int take(struct __sk_buff *skb)
{
	if (skb->mark != MARK_HELD)
		return TC_ACT_SHOT;
	skb->mark = 0;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int give_back(struct __sk_buff *skb)
{
	__u32 tap = skb->ifindex;
	struct gate_key *key = bpf_map_lookup_elem(&gate_back, &tap);
	struct gate_live *live;
	struct gate_key from;
	long r;

	if (!key)
		return TC_ACT_SHOT;
	from = *key;
	live = bpf_map_lookup_elem(&gate_live, &from);
	if (!live)
		return TC_ACT_SHOT;
	skb->mark = MARK_BACK;
	/* Into the vif's ingress the bridge sees it come from the guest's own port. */
	r = bpf_clone_redirect(skb, from.ifindex, from.dir == GATE_DIR_OUT ? BPF_F_INGRESS : 0);
	if (is_marker(skb))
		return TC_ACT_STOLEN;
	bpf_spin_lock(&live->lock);
	if (r == 0 || r == NET_XMIT_CN) {
		live->accepted++;
		if (from.dir == GATE_DIR_IN)
			live->returned++;
	} else if (r > 0) {
		live->refused++;
	} else {
		live->gone++;
	}
	bpf_spin_unlock(&live->lock);
	return TC_ACT_STOLEN;
}

/* The helpers used are for GPL-compatible programs. */
char gate_license[] SEC("license") = "GPL";
