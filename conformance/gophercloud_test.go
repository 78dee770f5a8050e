package main

import (
	"slices"
	"strings"
	"testing"
)

func TestOutputOfGoTestsIsRead(t *testing.T) {
	const output = `=== RUN   TestA
--- PASS: TestA (0.01s)
=== RUN   TestB
    b_test.go:7: status is DOWN, want ACTIVE
--- FAIL: TestB (1.50s)
=== RUN   TestC
    c_test.go:8: the server does not have the extension x
--- SKIP: TestC (0.00s)
=== RUN   TestD
panic: boom
goroutine 7
`
	want := []result{
		{Name: "TestA", Status: passed, Seconds: 0.01},
		{Name: "TestB", Status: failed, Seconds: 1.5, Reason: "b_test.go:7: status is DOWN, want ACTIVE"},
		{Name: "TestC", Status: skipped, Reason: "c_test.go:8: the server does not have the extension x"},
		{Name: "TestD", Status: failed, Reason: "panic: boom\ngoroutine 7"},
	}
	var seen []result
	got, err := readGoTests(strings.NewReader(output), func(r result) { seen = append(seen, r) })
	if err != nil || !slices.Equal(got, want) || !slices.Equal(seen, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// Tests that run beside each other say at each change which of them speaks.
func TestOutputOfParallelGoTestsIsRead(t *testing.T) {
	const output = `=== RUN   TestA
=== PAUSE TestA
=== RUN   TestB
=== PAUSE TestB
=== CONT  TestA
=== CONT  TestB
    b_test.go:7: the plan is not empty
=== NAME  TestA
    a_test.go:3: no such subnet
--- FAIL: TestB (1.50s)
--- FAIL: TestA (2.00s)
FAIL
`
	want := []result{
		{Name: "TestB", Status: failed, Seconds: 1.5, Reason: "b_test.go:7: the plan is not empty"},
		{Name: "TestA", Status: failed, Seconds: 2, Reason: "a_test.go:3: no such subnet"},
	}
	got, err := readGoTests(strings.NewReader(output), func(result) {})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
