package iptables

import (
	"os"
	"strings"
	"testing"
)

func TestBridgedFramesMustMeetTheRules(t *testing.T) {
	kernel(t)
	const path = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
	err := CheckBridgeNetfilter(ctx(t))
	if _, absent := os.Stat(path); absent != nil {
		if err == nil || !strings.Contains(err.Error(), "modprobe br_netfilter") {
			t.Fatalf("%v", err)
		}
		return
	}
	set := func(v string) {
		if err := os.WriteFile(path, []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	if err := CheckBridgeNetfilter(ctx(t)); err != nil && strings.Contains(err.Error(), "ip6tables") {
		t.Fatal(err)
	}
	set("0")
	defer set("1")
	if err := CheckBridgeNetfilter(ctx(t)); err == nil || !strings.Contains(err.Error(), "sysctl -w net.bridge.bridge-nf-call-ip6tables=1") {
		t.Fatalf("%v", err)
	}
}
