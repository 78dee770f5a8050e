package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that the history of defects names exists, and it has every row.
func TestTheHistoryOfDefectsNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/security-history.md")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 31; n++ {
		if !strings.Contains(string(text), fmt.Sprintf("\n| S%d | ", n)) {
			t.Errorf("the history has no row S%d", n)
		}
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 40 {
		t.Errorf("the history names %d tests", len(named))
	}
	for _, n := range named {
		if dir := filepath.Join("../..", strings.TrimPrefix(n[1], "neutrino")); !hasTest(t, dir, n[2]) {
			t.Errorf("package %s has no test %s", n[1], n[2])
		}
	}
}

// hasTest reports whether a test file of the directory has the function.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}
