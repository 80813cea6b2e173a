"""Tables, sentences and the figure of measured inference times. Imports `analysis.studies` and what stands below it."""
