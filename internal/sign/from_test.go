package sign

import "testing"

func TestFromForms(t *testing.T) {
	for text, want := range map[string]string{
		"Ann <ann@one.test>":                             "one.test",
		"ann@one.test (Ann)":                             "one.test",
		"=?windows-1251?B?z/Du4uXw6uA=?= <ann@one.test>": "one.test",
		"=?gb2312?B?1tDOxA==?= <ann@one.test>":           "one.test",
		"=?utf-8?q?broken <ann@one.test>":                "one.test",
		"Foo, Bar Inc. <ann@one.test>":                   "one.test",
		"ann@One.Test":                                   "one.test",
		"\"a, b <x@y.test>\" <ann@one.test>":             "one.test",
		"ann@one.test, bob@two.test":                     "one.test",
		"Grüße <ann@one.test>":                           "one.test",
		"<ann@bücher.test>":                              "bücher.test",
		`"open <ann@one.test>`:                           "",
		`"a \" <x@y.test>" Bar, Inc. <ann@one.test>`:     "one.test",
		"no address":                                     "",
		"<>":                                             "",
		"":                                               "",
	} {
		if got := FromDomain([]byte("From: " + text + "\r\n\r\n")); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
