

models/pushtd"
secantR
trajectoryZpusht`†ç