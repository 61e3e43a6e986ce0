// Command sluice is an outbound mail server: flags and subcommands, nothing else.
package main

func main() {}
