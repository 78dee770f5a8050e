package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// Three packets as python-subunit writes them: a test begins (with tags and a
// route), says why it skips, and has skipped.
const recorded = "b32f822d695735a5e877350809612e746573745b785d02046761746508776f726b65722d3003302f31f3a1142d" +
	"b3297040aa09612e746573745b785d17746578742f706c61696e3b636861727365743d7574663806726561736f6e4076" +
	"6e6f20636f6d707574652073657276696365" +
	"2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e" +
	"2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e" +
	"33fff9cc" +
	"b32b051a695735a5e877350809612e746573745b785d66c8d13f"

func packetsOf(stream []byte) ([]packet, error) {
	var got []packet
	err := readPackets(bufio.NewReader(bytes.NewReader(stream)), func(p packet) { got = append(got, p) })
	return got, err
}

func TestSubunitIsReadAsItWasRecorded(t *testing.T) {
	stream, err := hex.DecodeString(recorded)
	if err != nil {
		t.Fatal(err)
	}
	got, err := packetsOf(append([]byte("warning: not subunit\n"), stream...))
	if err != nil || len(got) != 3 {
		t.Fatalf("%d packets, %v, want 3", len(got), err)
	}
	for i, want := range []testStatus{testInProgress, testNone, testSkipped} {
		if got[i].test != "a.test[x]" || got[i].status != want {
			t.Errorf("packet %d is %+v, want status %d of a.test[x]", i, got[i], want)
		}
	}
	if at := got[0].at.Format("2006-01-02 15:04:05.000000"); at != "2026-01-02 03:04:05.678901" {
		t.Errorf("time %s", at)
	}
	if got[1].file != "reason" || string(got[1].content) != "no compute service"+strings.Repeat(".", 100) {
		t.Errorf("file %q with %q", got[1].file, got[1].content)
	}
}

func TestDamagedSubunitIsRefused(t *testing.T) {
	stream, err := hex.DecodeString(recorded)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"a changed byte": bytes.Replace(stream, []byte("compute"), []byte("comPute"), 1),
		"a missing end":  stream[:len(stream)-2],
		"no length":      {subunitSignature, 0x2b, 0x05},
		"length zero":    {subunitSignature, 0x2b, 0x05, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, err := packetsOf(damaged); !errors.Is(err, errSubunit) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
}
