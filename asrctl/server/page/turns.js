// Who said which words of a final.

// The text in pieces that begin with a word each, spaced as it is; one piece, where there are no words.
export function pieces({ start_s, end_s, text }, words, offsetS) {
  const said = [];
  let at = 0;
  for (const word of words) {
    const from = text.indexOf(word.text, at);
    if (from < 0) return [{ start_s, end_s, text }]; // not the words of this text
    said.push({ from, start_s: word.start_s + offsetS, end_s: word.end_s + offsetS });
    at = from + word.text.length;
  }
  if (said.length < 2) return [{ start_s, end_s, text }];
  said[0] = { ...said[0], from: 0, start_s };
  said.at(-1).end_s = end_s;
  return said.map(({ from, ...times }, index) => ({ ...times, text: text.slice(from, said[index + 1]?.from) }));
}

// A final as segments that have one speaker each.
export function turns({ confidence, words }) {
  const found = [];
  for (const { start_s, end_s, text, speaker } of words) {
    const last = found.at(-1);
    if (last?.speaker === speaker) Object.assign(last, { end_s, text: last.text + text });
    else found.push({ start_s, end_s, text, confidence, speaker });
  }
  return found.map((each) => ({ ...each, text: each.text.trim() }));
}
