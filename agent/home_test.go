package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contents are the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestAStateDirectoryKeepsItsHostAndMachine(t *testing.T) {
	dir := t.TempDir()
	first, err := Settle(t.Context(), dir, "c1", "")
	if err != nil || first.Host != "c1" || first.Machine == "" {
		t.Fatalf("%+v %v", first, err)
	}
	again, err := Settle(t.Context(), dir, "c1", "c1")
	if err != nil || again != first {
		t.Errorf("at the second start %+v, before %+v, %v", again, first, err)
	}
	other, err := Settle(t.Context(), t.TempDir(), "c1", "")
	if err != nil || other.Machine == first.Machine {
		t.Errorf("another directory has the machine %q too, %v", other.Machine, err)
	}
	if info, err := os.Stat(filepath.Join(dir, homeFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mark's mode is %v, %v", info.Mode(), err)
	}
}

func TestAnotherNameIsRefusedWithTheRemedy(t *testing.T) {
	dir := t.TempDir()
	if _, err := Settle(t.Context(), dir, "compute2", ""); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	_, err := Settle(t.Context(), dir, "compute2.example.org", "")
	if !errors.Is(err, ErrOtherHost) {
		t.Fatalf("another name: %v", err)
	}
	for _, word := range []string{`"compute2"`, `"compute2.example.org"`, "[DEFAULT] host = compute2 ", "neutrino agent rename-host", dir} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
	if after := contents(t, dir); len(after) != len(before) || after[homeFile] != before[homeFile] {
		t.Errorf("the directory had %v and has %v", before, after)
	}
}

// A directory of a program that kept no mark belongs to its stored view's host.
func TestADirectoryWithoutAMarkBelongsToItsView(t *testing.T) {
	dir := t.TempDir()
	if _, err := Settle(t.Context(), dir, "c2", "c1"); !errors.Is(err, ErrOtherHost) {
		t.Errorf("with the view of c1, c2: %v", err)
	}
	if got := contents(t, dir); len(got) != 0 {
		t.Errorf("the refused agent wrote %v", got)
	}
	if h, err := Settle(t.Context(), dir, "c1", "c1"); err != nil || h.Host != "c1" {
		t.Errorf("%+v %v", h, err)
	}
}

func TestADamagedMarkIsRefused(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"host":"c1"}`, `{"host":"c1","machine":"m","rack":"r"}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, homeFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Settle(t.Context(), dir, "c1", ""); err == nil || !strings.Contains(err.Error(), homeFile) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAHostIsRenamedOnPurpose(t *testing.T) {
	dir := t.TempDir()
	if _, err := Rename(t.Context(), dir, "c2"); err == nil {
		t.Error("a directory that nobody used was renamed")
	}
	first, err := Settle(t.Context(), dir, "c1", "")
	if err != nil {
		t.Fatal(err)
	}
	if old, err := Rename(t.Context(), dir, "c2"); err != nil || old != "c1" {
		t.Fatalf("%q %v", old, err)
	}
	if _, err := Rename(t.Context(), dir, "c2"); err == nil {
		t.Error("renamed to the name that it has")
	}
	if h, err := Settle(t.Context(), dir, "c2", "c1"); err != nil || h.Machine != first.Machine {
		t.Errorf("after the rename %+v, before %+v, %v", h, first, err)
	}
	if _, err := Settle(t.Context(), dir, "c1", "c1"); !errors.Is(err, ErrOtherHost) {
		t.Errorf("the old name: %v", err)
	}
}
