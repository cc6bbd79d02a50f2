import library_that_nobody_has

Config = library_that_nobody_has.Config
