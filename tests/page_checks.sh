# Checks of the pages that compare and report write; sourced by their tests, which
# have $out (a folder) and complain().

check_page() {
    page=$1
    if command -v xmllint > /dev/null; then
        xmllint --noout "$page" || complain "$page is not well-formed"
    fi
    for tag in html head body main table svg figure; do
        [ "$(grep -o "<$tag[ >]" "$page" | wc -l)" = \
            "$(grep -o "</$tag>" "$page" | wc -l)" ] ||
            complain "$page: <$tag> and </$tag> differ in number"
    done
    grep -Eq 'https?:|<script|<link|@import|url\(' "$page" &&
        complain "$page loads something, or has a script"
    grep -Eo '(src|href)="[^"]{0,16}' "$page" |
        grep -v '="data:image/png;' > "$out/links"
    [ -s "$out/links" ] && complain "$page: $(head -n 1 "$out/links")"
    grep -q '<html lang=' "$page" || complain "$page says no language"
    grep -E '<img ' "$page" | grep -vq ' alt="' && complain "a picture without alt"
}

render_page() { # page, words it must show ..
    shown=$1
    shift
    browser=$(command -v chromium || command -v chromium-browser)
    if [ -z "$browser" ]; then
        echo "no chromium: the page was not rendered"
        return
    fi
    "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$out/chrome" \
        --dump-dom "file://$shown" > "$out/dom" 2> /dev/null ||
        complain "the browser does not take $shown"
    for words in "$@" '</html>'; do
        grep -q -- "$words" "$out/dom" || complain "no '$words' in what is shown"
    done
}
