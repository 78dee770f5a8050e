package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that the history of defects and the guarantees name exists, and they
// have every row.
func TestTheHistoryOfDefectsNamesTestsThatExist(t *testing.T) {
	history := namesTests(t, "security-history.md", 60)
	for letter, last := range map[string]int{"S": 31, "E": 19} {
		for n := 1; n <= last; n++ {
			if !strings.Contains(history, fmt.Sprintf("\n| %s%d | ", letter, n)) {
				t.Errorf("the history has no row %s%d", letter, n)
			}
		}
	}
	namesTests(t, "guarantees.md", 60)
}

// namesTests checks the tests that a document names, which are at least so many, and
// returns its text.
func namesTests(t *testing.T, document string, least int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", document))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < least {
		t.Errorf("%s names %d tests", document, len(named))
	}
	for _, n := range named {
		if dir := filepath.Join("../..", strings.TrimPrefix(n[1], "neutrino")); !hasTest(t, dir, n[2]) {
			t.Errorf("%s: package %s has no test %s", document, n[1], n[2])
		}
	}
	return string(text)
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
