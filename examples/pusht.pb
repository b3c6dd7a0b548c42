

models/pushtd"
secantI¸…ëQ¸?R
trajectoryZpusht` 