// Package report reads accounting records and says what is in them: deferral rates and
// where they are high, which reply rules knew the words of receivers, and which words no
// rule knows.
package report
